type Node = Record<string, unknown>

interface Document {
  components?: Node
  paths?: Record<string, Record<string, { responses: Record<string, Node> }>>
}

/**
 * Moves refusals that several operations answer with into the components, once each. The name of such a response is
 * its first code, followed by as many of its other codes as make the name unique.
 */
export function shareResponses<Given extends object>(given: Given): Given {
  const document = structuredClone(given) as Given & Document
  const operations = Object.values(document.paths ?? {}).flatMap((methods) => Object.values(methods))
  const refusals = operations.flatMap(({ responses }) => Object.values(responses)).filter(isRefusal)
  const equal = [...Map.groupBy(refusals, (response) => JSON.stringify(response))]
    .filter(([, group]) => group.length > 1)
    .sort(([, [one]], [, [other]]) => codesOf(one).length - codesOf(other).length)

  const shared: Record<string, Node> = {}
  const references = new Map<string, Node>()
  for (const [text, [response]] of equal) {
    const name = namesOf(codesOf(response)).find((name) => shared[name] === undefined)
    if (name === undefined || response === undefined) continue
    shared[name] = response
    references.set(text, { $ref: `#/components/responses/${name}` })
  }
  for (const { responses } of operations)
    for (const [status, response] of Object.entries(responses))
      responses[status] = references.get(JSON.stringify(response)) ?? response
  document.components = { ...document.components, responses: shared }
  return document
}

const isRefusal = (response: Node) => codesOf(response).length > 0

/** The names of the problems that a response can hold, without the `Problem` at their ends. */
function codesOf(response: Node | undefined): string[] {
  const content = response?.content as Record<string, { schema: Schema }> | undefined
  const { oneOf, ...single } = content?.['application/problem+json']?.schema ?? {}
  return [oneOf ?? single].flat().flatMap(({ $ref }) => /(\w+)Problem$/.exec($ref ?? '')?.[1] ?? [])
}

interface Schema {
  $ref?: string
  oneOf?: Schema[]
}

/** `InvalidRequest`, `InvalidRequestOrMalformedJson` … */
const namesOf = (codes: string[]) => codes.map((_, index) => codes.slice(0, index + 1).join('Or'))
