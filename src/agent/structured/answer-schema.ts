import type { ErrorObject, ValidateFunction } from 'ajv'
import { Ajv2020, type Options } from 'ajv/dist/2020.js'
import addFormats from 'ajv-formats'
import { bounded, isTooSlow } from './bounded.ts'
import { type SchemaFault, walkSchema } from './schema-walk.ts'

/** Bytes of a schema as JSON. */
export const MAX_SCHEMA_BYTES = 16 * 1024
/**
 * Milliseconds that the work on one schema may take. The service shares its process with other requests; a worker has
 * its process for itself. The clock goes on while a busy machine executes something else, so the service tries twice.
 */
const REFUSE_MS = 100
const COMPILE_MS = 1000
const CHECK_MS = 100
const SECOND_CHECK_MS = 400
const MOST_FAULTS = 5

/** Unknown keywords are notes, as JSON Schema says. No schema is kept: each one has an Ajv of its own. */
const OPTIONS: Options = { strict: false, logger: false, meta: false, validateSchema: false }

let metaSchema: Ajv2020 | undefined

/** Finds what is wrong with the schema of an answer: the root must be the JSON Schema (2020-12) of an object. */
export function schemaFaults(schema: Record<string, unknown>): SchemaFault[] {
  if (Buffer.byteLength(JSON.stringify(schema)) > MAX_SCHEMA_BYTES)
    return [{ path: '', message: 'must have at most 16 KiB as JSON' }]
  if (schema.type !== 'object') return [{ path: '/type', message: 'must be "object"' }]
  const faults = [...invalid(schema), ...walkSchema(schema)]
  if (faults.length > 0) return faults.slice(0, MOST_FAULTS)
  const fault = compileFault(schema)
  return fault === TOO_COMPLEX ? (compileFault(schema) ?? []) : (fault ?? [])
}

const TOO_COMPLEX = [{ path: '', message: 'is too complex to be compiled' }]
const UNUSABLE = [{ path: '', message: 'cannot be used as a JSON Schema' }]

function compileFault(schema: Record<string, unknown>): SchemaFault[] | undefined {
  try {
    compile(schema, REFUSE_MS)
    return undefined
  } catch (error) {
    return isTooSlow(error) ? TOO_COMPLEX : UNUSABLE
  }
}

/**
 * Makes the check of answers by a schema without faults. The check names the faults of a value, at most five. When there
 * is no time to find all of them, a second check looks for the first one alone.
 */
export function answerCheck(schema: Record<string, unknown>): (value: unknown) => string[] {
  const validate = compile(schema, COMPILE_MS, { allErrors: true })
  const faultsBy = (check: ValidateFunction, value: unknown, ms: number) =>
    bounded(ms, () => check(value)) ? [] : (check.errors ?? []).slice(0, MOST_FAULTS).map(told)
  return (value) => {
    try {
      return faultsBy(validate, value, CHECK_MS)
    } catch {
      return firstFault(value)
    }
  }

  function firstFault(value: unknown): string[] {
    try {
      return faultsBy(compile(schema, COMPILE_MS), value, SECOND_CHECK_MS)
    } catch {
      return ['It could not be compared with the schema in time.']
    }
  }
}

function compile(schema: Record<string, unknown>, ms: number, options: Options = {}): ValidateFunction {
  // Every schema is read as one of 2020-12, and its id would only be the name of another schema in messages.
  const { $schema: _, $id: __, ...plain } = schema
  const ajv = new Ajv2020({ ...OPTIONS, ...options })
  addFormats.default(ajv)
  return bounded(ms, () => ajv.compile(plain))
}

/** The faults that the schema of all schemas finds. */
function invalid({ $schema: _, ...schema }: Record<string, unknown>): SchemaFault[] {
  metaSchema ??= new Ajv2020({ strict: false, logger: false })
  if (metaSchema.validateSchema(schema)) return []
  const errors = metaSchema.errors ?? []
  metaSchema.errors = null
  return errors.map(({ instancePath, message = 'is not valid' }) => ({ path: instancePath, message }))
}

function told({ instancePath, message, params }: ErrorObject): string {
  const field = params.additionalProperty === undefined ? '' : ` (${String(params.additionalProperty)})`
  return `${instancePath === '' ? 'The value' : instancePath} ${message ?? 'is not valid'}${field}.`
}
