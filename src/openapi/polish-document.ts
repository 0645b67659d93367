import { isDeepStrictEqual } from 'node:util'

type Node = Record<string, unknown>

interface Document {
  components?: { schemas?: Record<string, Node> }
  paths?: Record<
    string,
    Record<string, { requestBody?: { required?: boolean; content: Record<string, Node> } }>
  >
}

/** Keywords whose values are data of callers: the fields of these values are no keywords. */
const VALUES = new Set(['example', 'examples', 'default', 'enum'])

/**
 * Turns the schemas' own notation into plain OpenAPI:
 * `x-fault`: the wording of a refusal, which the document leaves out;
 * `x-null-is-absent`: an instruction for the validator, which the document leaves out;
 * `x-document`: what the document shows instead of a schema that validates or serialises;
 * `x-name`: the document has the schema once, in its components, under this name;
 * `style`, `explode` and `default` of a query parameter, which belong to the parameter;
 * names of headers, which Fastify's schemas have in small letters.
 */
export function polishDocument<Given extends object>(document: Given): Given {
  const named: Record<string, Node> = {}
  const polished = visit(structuredClone(document), named) as Given & Document
  polished.components = { ...polished.components, schemas: { ...polished.components?.schemas, ...named } }
  addBodyExamples(polished)
  return polished
}

/**
 * Copies the example of a shared body to each use of the body, because importers of the document look only there. A body
 * whose example is empty may be left out.
 */
function addBodyExamples({ paths = {}, components }: Document): void {
  for (const { requestBody } of Object.values(paths).flatMap((methods) => Object.values(methods))) {
    for (const media of Object.values(requestBody?.content ?? {})) {
      const { $ref } = media.schema as { $ref?: string }
      const { examples } = components?.schemas?.[$ref?.split('/').at(-1) ?? ''] ?? {}
      if (!Array.isArray(examples)) continue
      media.example = examples[0]
      if (requestBody !== undefined && isDeepStrictEqual(examples[0], {})) requestBody.required = false
    }
  }
}

function visit(node: unknown, named: Record<string, Node>): unknown {
  if (Array.isArray(node)) return node.map((item) => visit(item, named))
  if (typeof node !== 'object' || node === null) return node
  if ('x-document' in node) return visit(node['x-document'], named)
  const { 'x-fault': _wording, 'x-null-is-absent': _marked, 'x-name': name, ...own } = node as Node
  const polished = Object.fromEntries(
    Object.entries(parameter(own)).map(([key, value]) => [
      key,
      VALUES.has(key) ? value : visit(value, named),
    ]),
  )
  return typeof name === 'string' ? register(name, polished, named) : polished
}

function register(name: string, schema: Node, named: Record<string, Node>): Node {
  named[name] ??= schema
  if (!isDeepStrictEqual(named[name], schema)) throw new Error(`two different schemas are called ${name}`)
  return { $ref: `#/components/schemas/${name}` }
}

const HEADER_NAMES: Record<string, string> = { 'last-event-id': 'Last-Event-ID' }

/** `idempotency-key` as `Idempotency-Key`. */
const headerName = (name: string) =>
  HEADER_NAMES[name] ?? name.replaceAll(/(?:^|-)[a-z]/g, (start) => start.toUpperCase())

/** Corrects a parameter: the generator marks one with a default as required, and leaves the style in the schema. */
function parameter(node: Node): Node {
  const { schema, name } = node
  if (node.in === 'header' && typeof name === 'string') return { ...node, name: headerName(name) }
  if (node.in !== 'query' || typeof schema !== 'object' || schema === null) return node
  const { style, explode, ...type } = schema as Node
  return {
    ...node,
    ...('default' in type ? { required: false } : {}),
    ...(style === undefined ? {} : { style, explode }),
    schema: type,
  }
}
