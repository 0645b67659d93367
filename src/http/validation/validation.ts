import { Ajv, type KeywordDefinition, type Options } from 'ajv'
import addFormats from 'ajv-formats'
import type { FastifySchemaCompiler } from 'fastify'
import { type Fault, type Problem, problem } from '../../errors.ts'
import { shortened } from '../shortened.ts'
import { toFaults } from './faults.ts'
import { inspectText } from './text-faults.ts'

/**
 * `validateSchema` would compile the schema of all schemas for every Ajv, which takes longer than everything else when
 * the process starts. The schemas are the service's own: Ajv's strict mode refuses unknown keywords, and the checks of
 * `openapi.yaml` read every schema.
 */
const STRICT: Options = { verbose: true, strictTypes: false, strictRequired: false, validateSchema: false }

const PARTS: Record<string, NonNullable<Fault['in']>> = {
  params: 'path',
  querystring: 'query',
  headers: 'header',
}

/** In a body with more values than this, only the first fault is reported, because each value could be faulty. */
const MANY_VALUES = 10_000

/**
 * Makes Fastify's validators. Each one reports all faults in one part of a request as one Problem. Values of a body are
 * never coerced, and no default is added. The other parts are text, which is converted to the types of the schema.
 */
export function validatorBuilder() {
  const known = new Map<string, FastifySchemaCompiler<object>>()
  return (shared: Record<string, object>): FastifySchemaCompiler<object> => {
    // Fastify calls this function for every route. An Ajv for each route would triple the time until the process is up.
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
      // The errors refer to the body, so the validator would keep the last refused body in memory.
      validate.errors = null
      return found.length === 0 ? { value: data } : refusal(found)
    }
  }
}

const refusal = (faults: Fault[]) => ({ error: invalidBody(faults) })

/** The refusal of a request with these faults. */
export const invalidBody = (faults: Fault[]): Problem =>
  problem('invalid_request', { detail: sentence(faults), members: { errors: faults } })

/** Makes the check of a value by a schema that is known only when the service starts. */
export function compileCheck(schema: Record<string, unknown>): (value: unknown) => Fault[] {
  const validate = ajv({ ...STRICT, allErrors: true }, []).compile(schema)
  return (value) => {
    const faults = validate(value) ? [] : toFaults(validate.errors ?? [])
    validate.errors = null
    return faults
  }
}

function sentence([first, ...others]: Fault[]): string {
  if (first === undefined) return 'The request is not valid.'
  const subject = `\`${shortened(first.path.slice(1))}\``
  const more = others.length === 0 ? '' : ` (and ${others.length} more: see \`errors\`)`
  return first.path === '' ? `${capital(first.message)}${more}.` : `${subject} ${first.message}${more}.`
}

/** Removes a field that is `null` from a body where the schema counts `null` as absent. */
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
