type Node = Record<string, unknown>

interface Operation {
  security?: object[]
  parameters?: object[]
  responses: Record<string, Node & { headers?: Node }>
}

interface Document {
  components?: Node
  paths?: Record<string, Record<string, Operation>>
}

const header = (description: string, type = 'string') => ({ description, schema: { type } })
const refersTo = (kind: string, names: string[]) =>
  Object.fromEntries(names.map((name) => [name, { $ref: `#/components/${kind}/${name}` }]))

const PARAMETERS = {
  EffectiveUser: {
    in: 'header',
    name: 'X-Effective-User',
    required: false,
    description:
      'User that a token with `agent:delegate` acts for, 1 to 255 printable characters in UTF-8; 403 without that scope',
    schema: { type: 'string' },
  },
  RequestId: {
    in: 'header',
    name: 'X-Request-Id',
    required: false,
    description:
      'Id of the request, which the answer and the log of the service repeat; a value that does not match the pattern is replaced by a new id',
    schema: { type: 'string', pattern: '^[\\w.-]{1,128}$' },
  },
}

const HEADERS = {
  RateLimit: header(
    'Requests that are left in each budget, `r`, and seconds until the budget is full again, `t`',
  ),
  'RateLimit-Policy': header('Budgets that the request counts for: `q` requests in `w` seconds'),
  'WWW-Authenticate': header('What the token lacks (RFC 6750)'),
  'X-Request-Id': header('Id of the request: the one that was sent, or a new one'),
}

/**
 * Describes once what every operation takes and answers, beside what its route declares: the request id, and with
 * a token whom the request acts for, its limits, and what the token lacks.
 */
export function withSharedHeaders<Given extends object>(given: Given): Given {
  const document = structuredClone(given) as Given & Document
  for (const operation of Object.values(document.paths ?? {}).flatMap((methods) => Object.values(methods))) {
    const hasToken = Boolean(operation.security?.length)
    const parameters = hasToken ? Object.keys(PARAMETERS) : ['RequestId']
    operation.parameters = [
      ...(operation.parameters ?? []),
      ...Object.values(refersTo('parameters', parameters)),
    ]
    for (const [status, response] of Object.entries(operation.responses)) {
      const names = [...(hasToken ? carriedWith(Number(status)) : []), 'X-Request-Id']
      response.headers = { ...response.headers, ...refersTo('headers', names) }
    }
  }
  document.components = { ...document.components, parameters: PARAMETERS, headers: HEADERS }
  return document
}

/** A request is charged after its token has been accepted. Every answer from then on has the headers of the limits. */
const carriedWith = (status: number): string[] =>
  status === 401 || status === 403 ? ['WWW-Authenticate'] : ['RateLimit', 'RateLimit-Policy']
