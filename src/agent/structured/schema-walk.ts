/** One thing that is wrong with a schema; `path` is a JSON pointer within it. */
export interface SchemaFault {
  path: string
  message: string
}

type Schema = Record<string, unknown>

/** Keywords whose value is a schema, a list of schemas, and an object of schemas. */
const ONE = [
  'additionalProperties',
  'contains',
  'contentSchema',
  'else',
  'if',
  'items',
  'not',
  'propertyNames',
]
const ONE_MORE = ['then', 'unevaluatedItems', 'unevaluatedProperties']
const LISTS = ['allOf', 'anyOf', 'oneOf', 'prefixItems']
const MAPS = ['$defs', 'definitions', 'dependentSchemas', 'patternProperties', 'properties']
/** Keywords that change what a reference means, or that make a validator asynchronous. */
const REFUSED = ['$anchor', '$async', '$dynamicAnchor', '$dynamicRef', '$recursiveAnchor', '$recursiveRef']

/** Schemas that a schema may consist of once its references are followed: they could double with every step. */
const MOST_SCHEMAS = 5000

const RECURSIVE = 'must not lead back to a schema that it is part of'
const TOO_LARGE = `must have at most ${MOST_SCHEMAS} schemas, each reference counted as what it leads to`
const NOT_LOCAL = 'must be a JSON pointer into this schema, such as #/$defs/name'

/**
 * Finds what makes a schema unfit although it is valid JSON Schema: references that are not local, lead nowhere or
 * lead in a circle, references that make the schema endlessly large, and patterns that are no regular expressions.
 */
export function walkSchema(root: Schema): SchemaFault[] {
  const faults: SchemaFault[] = []
  /** The number of schemas in each schema that has been visited; 0 while it is being visited. */
  const sizes = new Map<object, number>()

  const visit = (schema: unknown, path: string): number => {
    if (!isSchema(schema)) return 1
    const known = sizes.get(schema)
    if (known !== undefined) return known
    sizes.set(schema, 0)
    let size = 1
    for (const keyword of REFUSED)
      if (keyword in schema) faults.push(at(`${path}/${keyword}`, 'is not supported'))
    if ('$id' in schema && schema !== root) faults.push(at(`${path}/$id`, 'is not supported below the root'))
    if ('pattern' in schema) checkPattern(schema.pattern, `${path}/pattern`)
    if (isSchema(schema.patternProperties))
      for (const pattern of Object.keys(schema.patternProperties))
        checkPattern(pattern, `${path}/patternProperties/${pointer(pattern)}`)
    for (const [child, where] of children(schema)) size += enter(child, `${path}/${where}`)
    if ('$ref' in schema) size += follow(schema.$ref, `${path}/$ref`)
    sizes.set(schema, size)
    return size
  }

  const enter = (schema: unknown, path: string, faultPath = path): number => {
    if (!isSchema(schema) || sizes.get(schema) !== 0) return visit(schema, path)
    faults.push(at(faultPath, RECURSIVE))
    return 1
  }

  const follow = (reference: unknown, path: string): number => {
    if (typeof reference !== 'string' || !/^#(\/|$)/.test(reference)) {
      faults.push(at(path, NOT_LOCAL))
      return 1
    }
    const target = resolve(root, reference)
    if (target !== undefined) return enter(target, reference.slice(1), path)
    faults.push(at(path, 'leads to no schema'))
    return 1
  }

  const checkPattern = (pattern: unknown, path: string): void => {
    if (typeof pattern !== 'string') return
    try {
      new RegExp(pattern, 'u')
    } catch {
      faults.push(at(path, 'must be a regular expression'))
    }
  }

  if (visit(root, '') > MOST_SCHEMAS) faults.push(at('', TOO_LARGE))
  return faults
}

function* children(schema: Schema): Generator<[unknown, string]> {
  for (const keyword of [...ONE, ...ONE_MORE]) if (keyword in schema) yield [schema[keyword], keyword]
  for (const keyword of LISTS) {
    const list = schema[keyword]
    if (Array.isArray(list)) for (const [n, one] of list.entries()) yield [one, `${keyword}/${n}`]
  }
  for (const keyword of MAPS) {
    const map = schema[keyword]
    if (isSchema(map))
      for (const [name, one] of Object.entries(map)) yield [one, `${keyword}/${pointer(name)}`]
  }
}

/** The schema to which a JSON pointer leads; undefined when there is none. */
function resolve(root: Schema, reference: string): Schema | boolean | undefined {
  let found: unknown = root
  for (const step of reference.split('/').slice(1)) {
    const name = decode(step).replaceAll('~1', '/').replaceAll('~0', '~')
    if (typeof found !== 'object' || found === null || !Object.hasOwn(found, name)) return undefined
    found = (found as Schema)[name]
  }
  return isSchema(found) || typeof found === 'boolean' ? found : undefined
}

function decode(step: string): string {
  try {
    return decodeURIComponent(step)
  } catch {
    return step
  }
}

const at = (path: string, message: string): SchemaFault => ({ path, message })
const pointer = (name: string) => name.replaceAll('~', '~0').replaceAll('/', '~1')
const isSchema = (value: unknown): value is Schema =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
