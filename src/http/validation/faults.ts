import type { ErrorObject } from 'ajv'
import type { Fault } from '../../errors.ts'
import { pointer } from './text-faults.ts'

type Words = (params: Record<string, unknown>, schema: Record<string, unknown>) => string

const plural = (count: unknown, noun: string) => `${count} ${noun}${count === 1 ? '' : 's'}`

/** The sentences that replace Ajv's own; `x-fault` in a schema overrides them. */
const WORDS: Record<string, Words> = {
  required: () => 'is required',
  additionalProperties: () => 'is not known here',
  type: ({ type }) => `must be ${[type].flat().map(article).join(' or ')}`,
  minLength: ({ limit }) =>
    limit === 1 ? 'must not be empty' : `must have at least ${plural(limit, 'character')}`,
  maxLength: ({ limit }) => `must have at most ${plural(limit, 'character')}`,
  minItems: ({ limit }) =>
    limit === 1 ? 'must not be empty' : `must have at least ${plural(limit, 'item')}`,
  maxItems: ({ limit }) => `must have at most ${plural(limit, 'item')}`,
  minProperties: ({ limit }) =>
    limit === 1 ? 'must not be empty' : `must have at least ${plural(limit, 'field')}`,
  maxProperties: ({ limit }) => `must have at most ${plural(limit, 'field')}`,
  minimum: ({ limit }) => `must be at least ${limit}`,
  maximum: ({ limit }) => `must be at most ${limit}`,
  enum: ({ allowedValues }) =>
    `must be one of ${[allowedValues]
      .flat()
      .filter((value) => value !== null)
      .join(', ')}`,
  const: ({ allowedValue }) => `must be ${JSON.stringify(allowedValue)}`,
  format: ({ format }) => `must be a valid ${format}`,
  pattern: ({ pattern }) => (pattern === '\\S' ? 'must not be blank' : `must match ${pattern}`),
  anyOf: (_, schema) => alternatives(schema.anyOf),
  oneOf: (_, schema) => alternatives(schema.oneOf),
}

const article = (type: unknown) =>
  (/^[aeio]/.test(String(type)) ? `an ${type}` : `a ${type}`).replace('a null', 'null')

function alternatives(branches: unknown): string {
  const constants = [branches].flat().map((branch) => (branch as { const?: unknown }).const)
  return constants.every((value) => value !== undefined)
    ? `must be one of ${constants.join(', ')}`
    : 'has none of the allowed forms'
}

/**
 * Turns Ajv's errors (`verbose`, `allErrors`) into faults, at most one per path. The errors of the single branches of a
 * union are left out, since a caller meant only one branch.
 */
export function toFaults(errors: ErrorObject[], part?: Fault['in']): Fault[] {
  const unions = [...new Set(errors.filter(isUnion).map(({ schemaPath }) => `${schemaPath}/`))]
  const faults = new Map<string, Fault>()
  for (const error of errors) {
    if (error.keyword === 'propertyNames' || unions.some((path) => error.schemaPath.startsWith(path)))
      continue
    const path = pathOf(error)
    if (!faults.has(path))
      faults.set(path, { ...(part ? { in: part } : {}), path, message: messageOf(error) })
  }
  return [...faults.values()]
}

const isUnion = ({ keyword }: ErrorObject) => keyword === 'anyOf' || keyword === 'oneOf'

function messageOf({ keyword, params, parentSchema = {}, propertyName, message }: ErrorObject): string {
  const own = parentSchema['x-fault']
  if (typeof own === 'string' && keyword !== 'type' && keyword !== 'required') return own
  const words = WORDS[keyword]?.(params, parentSchema) ?? message ?? 'is not valid'
  return propertyName === undefined ? words : `as a name ${words}`
}

/** The path of the faulty value. For a missing or unknown field it ends with that field. */
function pathOf({ instancePath, params, propertyName }: ErrorObject): string {
  const field = propertyName ?? params.missingProperty ?? params.additionalProperty
  return field === undefined ? instancePath : `${instancePath}/${pointer(String(field))}`
}
