import { parse } from 'node:querystring'

const NESTED = /^([^[\]]+)\[(.*)\]$/

/**
 * Reads a query string; `metadata[ticket]=T-1` becomes `{ metadata: { ticket: 'T-1' } }` (OpenAPI's
 * `deepObject`), one level deep. A repeated name gives an array, which the schemas refuse.
 */
export function parseQuery(query: string): Record<string, unknown> {
  const result: Record<string, unknown> = Object.create(null)
  for (const [name, value] of Object.entries(parse(query))) {
    const [, outer, inner] = NESTED.exec(name) ?? []
    if (outer === undefined || inner === undefined) {
      result[name] = value
      continue
    }
    result[outer] ??= Object.create(null)
    const group = result[outer]
    if (typeof group === 'object' && group !== null && !Array.isArray(group))
      Object.assign(group, { [inner]: value })
    else result[outer] = [group, value].flat()
  }
  return result
}
