type Node = Record<string, unknown>

/**
 * What the generator leaves: wordings for refusals are not for the document, how a query parameter is written
 * belongs to the parameter, not to its schema, and one with a default may be left out.
 */
export function polishDocument<Document extends object>(document: Document): Document {
  return polish(structuredClone(document)) as Document
}

function polish(node: unknown): unknown {
  if (Array.isArray(node)) return node.map(polish)
  if (typeof node !== 'object' || node === null) return node
  const { 'x-fault': _wording, 'x-null-is-absent': _marked, ...rest } = node as Node
  const polished: Node = Object.fromEntries(Object.entries(rest).map(([key, value]) => [key, polish(value)]))
  const { schema } = polished
  if (polished.in !== 'query' || typeof schema !== 'object' || schema === null) return polished
  const { style, explode, ...type } = schema as Node
  if ('default' in type) polished.required = false
  return style === undefined ? polished : { ...polished, style, explode, schema: type }
}
