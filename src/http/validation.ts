import { Ajv, type KeywordDefinition, type Options } from 'ajv'
import addFormats from 'ajv-formats'
import type { FastifySchemaCompiler } from 'fastify'
import { type Fault, problem } from '../errors.ts'
import { toFaults } from './faults.ts'
import { shortened } from './shortened.ts'
import { inspectText } from './text-faults.ts'

const STRICT: Options = { verbose: true, strictTypes: false, strictRequired: false }

const PARTS: Record<string, NonNullable<Fault['in']>> = {
  params: 'path',
  querystring: 'query',
  headers: 'header',
}

/** In a body of more values than this only the first fault is searched for: each value could be one. */
const MANY_VALUES = 10_000

/**
 * Makes Fastify's validators: each makes one Problem of all faults of a part. Bodies say what they mean:
 * nothing is coerced, dropped or added. The rest of a request is text and is read as what the schema wants.
 */
export function validatorBuilder() {
  const known = new Map<string, FastifySchemaCompiler<object>>()
  return (shared: Record<string, object>): FastifySchemaCompiler<object> => {
    // Fastify asks for every route; an Ajv of its own for each would triple the time that a start takes.
    const ids = Object.keys(shared).join()
    const compiler = known.get(ids) ?? createCompiler(Object.values(shared))
    known.set(ids, compiler)
    return compiler
  }
}

function createCompiler(shared: object[]): FastifySchemaCompiler<object> {
  const body = ajv({ ...STRICT, allErrors: true }, shared)
  const largeBody = ajv(STRICT, shared)
  const text = ajv({ ...STRICT, allErrors: true, coerceTypes: true, useDefaults: true }, shared)

  return ({ schema, httpPart }) => {
    const part = PARTS[httpPart ?? '']
    const everyFault = (part === undefined ? body : text).compile(schema)
    return (data: unknown) => {
      // Without a body the schema would only say "must be an object".
      if (data === undefined || data === null)
        return refusal([{ path: '', message: 'a JSON body is required' }])
      const { faults, values } = inspectText(part === 'header' ? undefined : data)
      const validate = values > MANY_VALUES && part === undefined ? largeBody.compile(schema) : everyFault
      const valid = validate(data)
      const found = [
        ...faults.map((fault) => (part ? { in: part, ...fault } : fault)),
        ...(valid ? [] : toFaults(validate.errors ?? [], part)),
      ]
      // The errors hold what they are about: the validator would keep the last refused body for good.
      validate.errors = null
      return found.length === 0 ? { value: data } : refusal(found)
    }
  }
}

const refusal = (faults: Fault[]) => ({
  error: problem('invalid_request', { detail: sentence(faults), members: { errors: faults } }),
})

function sentence([first, ...others]: Fault[]): string {
  if (first === undefined) return 'The request is not valid.'
  const subject = `\`${shortened(first.path.slice(1))}\``
  const more = others.length === 0 ? '' : ` (and ${others.length} more: see \`errors\`)`
  return first.path === '' ? `${capital(first.message)}${more}.` : `${subject} ${first.message}${more}.`
}

/** Takes fields that are `null` out of a body where the schema counts that as absent. */
const NULL_IS_ABSENT: KeywordDefinition = {
  keyword: 'x-null-is-absent',
  type: 'null',
  modifying: true,
  errors: false,
  compile: () => (_data, place) => {
    if (place !== undefined) Reflect.deleteProperty(place.parentData, place.parentDataProperty)
    return true
  },
}

const capital = (text: string) => text.charAt(0).toUpperCase() + text.slice(1)

function ajv(options: Options, shared: object[]): Ajv {
  const keywords = ['x-fault', 'x-name', 'x-document', 'style', 'explode', NULL_IS_ABSENT]
  const instance = new Ajv({ ...options, keywords })
  addFormats.default(instance)
  for (const schema of shared) instance.addSchema(schema)
  return instance
}
