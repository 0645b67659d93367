// Process: `node clients/python/types.ts` writes the types of the Python client from openapi.yaml.
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parse } from 'yaml'

interface Schema {
  $ref?: string
  type?: string | string[]
  description?: string
  enum?: (string | number | null)[]
  const?: string
  items?: Schema
  properties?: Record<string, Schema>
  required?: string[]
  additionalProperties?: boolean | Schema
  oneOf?: Schema[]
  anyOf?: Schema[]
  allOf?: Schema[]
}

const FILE = join(import.meta.dirname, 'src', 'agent_chat_client', 'types.py')
const DOCUMENT = join(import.meta.dirname, '..', '..', 'openapi.yaml')
const SCALARS: Record<string, string> = {
  string: 'str',
  integer: 'int',
  number: 'float',
  boolean: 'bool',
  null: 'None',
}
/** Words of Python that cannot be the name of a field. */
const WORDS = new Set(['from', 'class', 'in', 'is', 'not', 'or', 'and', 'import', 'global', 'pass', 'None'])

/** The source of the types: a TypedDict for each object of the document, a union or a Literal for everything else. */
export async function generate(): Promise<string> {
  const { components } = parse(await readFile(DOCUMENT, 'utf8'))
  const schemas = Object.entries(components.schemas as Record<string, Schema>)
  const isProblem = ([name]: [string, Schema]) => name.endsWith('Problem')
  const definitions = schemas
    .filter((entry) => !isProblem(entry))
    .map(([name, schema]) => define(name, schema))
  return `# Written by clients/python/types.ts from openapi.yaml. Do not edit.
from typing import Any, Dict, List, Literal, TypedDict, Union

${[...ordered(definitions), problem(components.schemas)].join('\n\n\n')}\n`
}

/** The members of all problems in one: an error of the client has them as its attributes. */
const problem = (schemas: Record<string, Schema>) => define('Problem', schemas.Problem ?? {}).text

interface Definition {
  name: string
  text: string
  /** Aliases are evaluated at once, so what they name has to stand before them. */
  isAlias: boolean
}

const ordered = (definitions: Definition[]) =>
  [...definitions.filter(({ isAlias }) => !isAlias), ...definitions.filter(({ isAlias }) => isAlias)].map(
    ({ text }) => text,
  )

function define(name: string, schema: Schema): Definition {
  const { properties } = schema
  if (properties === undefined) return { name, text: `${name} = ${typeOf(schema)}`, isAlias: true }
  const fields = Object.entries(properties)
  const required = fields.filter(([field]) => schema.required?.includes(field))
  const optional = fields.filter(([field]) => !schema.required?.includes(field))
  const about = schema.description
  const text =
    required.length === 0 || optional.length === 0
      ? typedDict(name, fields, required.length > 0, '', about)
      : `${typedDict(`_${name}`, required, true, '')}\n\n\n${typedDict(name, optional, false, `_${name}`, about)}`
  return { name, text, isAlias: false }
}

function typedDict(
  name: string,
  fields: [string, Schema][],
  total: boolean,
  base: string,
  about?: string,
): string {
  if (fields.some(([field]) => WORDS.has(field))) {
    const items = fields.map(([field, schema]) => `    "${field}": ${quoted(schema)},`)
    return `${name} = TypedDict(\n    "${name}",\n    {\n    ${items.join('\n    ')}\n    },\n    total=${total ? 'True' : 'False'},\n)`
  }
  const lines = fields.map(([field, schema]) => `    ${field}: ${quoted(schema)}`)
  const doc = about === undefined ? [] : [`    """${about.replaceAll(/\s+/g, ' ')}."""\n`]
  return `class ${name}(${base === '' ? 'TypedDict' : base}${total ? '' : ', total=False'}):\n${[...doc, ...lines].join('\n')}`
}

/** A name may stand before its definition only as a text. */
const quoted = (schema: Schema) => {
  const type = typeOf(schema)
  return /[A-Z]\w+/.test(type.replaceAll(/\b(Any|Dict|List|Literal|Union|None)\b|"[^"]*"/g, ''))
    ? `'${type}'`
    : type
}

function typeOf(schema: Schema): string {
  const { $ref, enum: values, items, oneOf, anyOf, type } = schema
  if ($ref !== undefined) return $ref.split('/').at(-1) ?? 'Any'
  if (values !== undefined)
    return union([
      `Literal[${values
        .filter((value) => value !== null)
        .map((value) => JSON.stringify(value))
        .join(', ')}]`,
      ...(values.includes(null) ? ['None'] : []),
    ])
  const choice = oneOf ?? anyOf
  if (choice !== undefined) return union(choice.map(typeOf))
  if (Array.isArray(type)) return union(type.map((one) => typeOf({ ...schema, type: one })))
  if (type === 'array') return `List[${typeOf(items ?? {})}]`
  if (type === 'object') {
    const { additionalProperties } = schema
    const value = typeof additionalProperties === 'object' ? typeOf(additionalProperties) : 'Any'
    return `Dict[str, ${value}]`
  }
  return SCALARS[type ?? ''] ?? 'Any'
}

const union = (types: string[]) => (types.length === 1 ? (types[0] ?? 'Any') : `Union[${types.join(', ')}]`)

if (import.meta.main) await writeFile(FILE, await generate())
