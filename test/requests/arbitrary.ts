import fc, { type Arbitrary } from 'fast-check'
import { type Document, dereference, type Operation, type Parameter, type Schema } from './document.ts'

/** A request as it is sent. An id of the path is text, or the number of one that an answer told. */
export interface GeneratedRequest {
  operation: Operation
  ids: Record<string, string | number>
  query: Array<[string, string]>
  headers: Record<string, string>
  token: TokenKind
  body: string | undefined
}

export type TokenKind = 'valid' | 'none' | 'forged' | 'read only' | 'delegate'

const STREAMS_AND_STARTS = /stream|sync|start/i

/** Requests to all operations of a document: valid ones, and ones that are wrong in one or more places. */
export function requests(document: Document, operations: Operation[]): Arbitrary<GeneratedRequest> {
  // Each accepted start costs a run of the agent: most requests are about the other operations.
  const weighted = operations.map((operation) => ({
    weight: STREAMS_AND_STARTS.test(operation.id) ? 1 : 3,
    arbitrary: requestTo(document, operation),
  }))
  return fc.oneof(...weighted)
}

function requestTo(document: Document, operation: Operation): Arbitrary<GeneratedRequest> {
  const of = (place: Parameter['in']) => operation.parameters.filter((parameter) => parameter.in === place)
  const ids = of('path').map(({ name, schema }) => [name, idOf(schema)] as const)
  return fc.record({
    operation: fc.constant(operation),
    ids: fc.record(Object.fromEntries(ids)),
    query: queryOf(document, of('query')),
    headers: headersOf(of('header')),
    token: operation.hasToken
      ? fc.oneof(
          { weight: 20, arbitrary: fc.constant<TokenKind>('valid') },
          { weight: 1, arbitrary: fc.constantFrom<TokenKind>('none', 'forged', 'read only', 'delegate') },
        )
      : fc.constant<TokenKind>('none'),
    body: bodyOf(document, operation),
  })
}

const idOf = (schema: Schema): Arbitrary<string | number> =>
  fc.oneof(
    { weight: 5, arbitrary: fc.nat() },
    { weight: 1, arbitrary: valuesOf(schema) as Arbitrary<string> },
    { weight: 1, arbitrary: fc.string({ unit: 'binary', minLength: 1 }).map((text) => text.toWellFormed()) },
  )

/** Each parameter left out, valid, or any text; now and then an unknown parameter, or one twice. */
function queryOf(document: Document, parameters: Parameter[]): Arbitrary<Array<[string, string]>> {
  const text = fc.string({ unit: 'binary', maxLength: 20 }).map((value) => value.toWellFormed())
  const pairs = parameters.map(({ name, style, schema }) => {
    const resolved = dereference(document, schema)
    const key = style === 'deepObject' ? text.map((inner) => `${name}[${inner}]`) : fc.constant(name)
    const valid = style === 'deepObject' ? text : valuesOf(resolved, document).map(String)
    return fc.tuple(key, fc.oneof({ weight: 4, arbitrary: valid }, { weight: 1, arbitrary: text }))
  })
  const strange = fc.tuple(text, text)
  const known = pairs.length === 0 ? fc.constant([]) : fc.array(fc.oneof(...pairs), { maxLength: 3 })
  return fc
    .tuple(
      known,
      fc.oneof({ weight: 9, arbitrary: fc.constant([]) }, { weight: 1, arbitrary: fc.array(strange) }),
    )
    .map(([own, others]) => [...own, ...others] as Array<[string, string]>)
    .map((query) => query.map(bounded))
}

/** Keeps the waits short, so that no request waits half a minute for an unchanged run. */
const bounded = ([name, value]: [string, string]): [string, string] =>
  name === 'wait' && /^([2-9]|[12]\d|30)$/.test(value) ? [name, '1'] : [name, value]

/** Bytes that Node lets a client send in a header. */
const headerText = fc.string({
  unit: fc
    .integer({ min: 0x20, max: 0xff })
    .filter((code) => code !== 0x7f)
    .map(charOf),
  maxLength: 30,
})
function charOf(code: number): string {
  return String.fromCharCode(code)
}

function headersOf(parameters: Parameter[]): Arbitrary<Record<string, string>> {
  const headers = parameters.map(({ name, schema }) => {
    const valid = valuesOf(schema).map(String)
    const value = fc.oneof({ weight: 2, arbitrary: valid }, { weight: 1, arbitrary: headerText })
    // Most tokens may not act for another user: with that header nearly every answer would be 403.
    const absent = { weight: name === 'X-Effective-User' ? 20 : 3, arbitrary: fc.constant(undefined) }
    const sent = value.filter((text) => !/[^\x20-\xff]/.test(text))
    return [name, fc.oneof(absent, { weight: 1, arbitrary: sent })] as const
  })
  return fc.record(Object.fromEntries(headers)).map((given) => {
    const sent = Object.entries(given).filter((entry): entry is [string, string] => entry[1] !== undefined)
    // A start that waits does so for a second at most, unless it asks for something else.
    const prefer = parameters.some(({ name }) => name === 'Prefer') ? { Prefer: 'wait=1' } : {}
    return { ...prefer, ...Object.fromEntries(sent) }
  })
}

/** A valid body; one with a value replaced, a field too many or a field too few; or no JSON at all. */
function bodyOf(document: Document, { method, body }: Operation): Arbitrary<string | undefined> {
  if (method === 'GET') return fc.constant(undefined)
  const raw = fc.oneof(
    fc.constant(''),
    fc.json({ stringUnit: 'binary' }),
    fc.string({ unit: 'binary' }).map((text) => text.toWellFormed()),
    fc.constantFrom('{"__proto__":{}}', '{"a":1,"a":2}', '[', '"\\ud800"', '{"message":"\\u0000"}'),
    fc.integer({ min: 1, max: 50_000 }).map((depth) => '['.repeat(depth) + ']'.repeat(depth)),
    fc.integer({ min: 1, max: 50_000 }).map((length) => JSON.stringify(Array(length).fill(0))),
  )
  if (body === undefined)
    return fc.oneof({ weight: 5, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary: raw })
  const schema = dereference(document, body)
  // Some rules stand in no schema: the last message of a stream is the user's. The example keeps them.
  const valid = fc.oneof(
    valuesOf(schema, document),
    fc.constantFrom(...(schema.examples ?? [{}])),
  ) as Arbitrary<Record<string, unknown>>
  const strange = fc
    .tuple(valid, fc.string({ maxLength: 8 }), fc.jsonValue(), fc.nat())
    .map(([value, name, other, place]) => {
      const fields = Object.keys(value)
      const field = fields[place % (fields.length + 1)] ?? name
      const { [field]: _dropped, ...rest } = value
      return other === null ? rest : { ...rest, [field]: other }
    })
  return fc.oneof(
    { weight: 4, arbitrary: valid.map((value) => JSON.stringify(value)) },
    { weight: 3, arbitrary: strange.map((value) => JSON.stringify(value)) },
    { weight: 1, arbitrary: raw },
  )
}

/** Values of a schema; what it does not say is anything that JSON allows. */
function valuesOf(given: Schema, document?: Document): Arbitrary<unknown> {
  const schema = document === undefined ? given : dereference(document, given)
  if (schema.anyOf !== undefined) return fc.oneof(...schema.anyOf.map((one) => valuesOf(one, document)))
  if (schema.enum !== undefined) return fc.constantFrom(...schema.enum)
  const [type, ...others] = [schema.type].flat()
  if (others.length > 0)
    return fc.oneof(...[type, ...others].map((one) => valuesOf({ ...schema, type: one ?? '' }, document)))
  if (type === 'string') return textOf(schema)
  if (type === 'integer') return fc.integer({ min: schema.minimum ?? 0, max: schema.maximum ?? 100 })
  if (type === 'boolean') return fc.boolean()
  if (type === 'null') return fc.constant(null)
  if (type === 'array')
    return fc.array(valuesOf(schema.items ?? {}, document), {
      minLength: schema.minItems ?? 0,
      maxLength: Math.max(3, schema.minItems ?? 0),
    })
  return type === 'object' ? objectOf(schema, document) : fc.jsonValue()
}

function textOf({ pattern, minLength = 0, maxLength = 200 }: Schema): Arbitrary<string> {
  const longest = Math.min(maxLength, 200)
  if (pattern === undefined || pattern === '\\S')
    return fc
      .string({ unit: 'grapheme', minLength, maxLength: Math.min(longest, 60) })
      .map((text) => (pattern && !/\S/.test(text) ? 'x' : text))
  return fc
    .stringMatching(new RegExp(pattern))
    .filter((text) => text.length >= minLength && text.length <= longest)
}

function objectOf(schema: Schema, document?: Document): Arbitrary<object> {
  const properties = Object.entries(schema.properties ?? {}).map(
    ([name, own]) => [name, valuesOf(own, document)] as const,
  )
  const known = fc.record(Object.fromEntries(properties), { requiredKeys: schema.required ?? [] } as never)
  if (typeof schema.additionalProperties !== 'object') return known as Arbitrary<object>
  const values = valuesOf(schema.additionalProperties, document)
  return fc.dictionary(fc.string({ minLength: 1, maxLength: 20 }), values, {
    maxKeys: Math.min(schema.maxProperties ?? 4, 4),
  })
}
