import { type Problem, problem } from '../errors.ts'
import type { AgentScope, Scope } from './claims.ts'

const REALM = 'Bearer realm="agent-chat-service"'

/**
 * The sentences that a caller may read about a refused token, by the verifier's code. Only a token with a valid signature
 * can be refused for these reasons, so a forger learns nothing. Every other reason stays in the log.
 */
const DESCRIPTIONS: Record<string, string> = {
  FAST_JWT_EXPIRED: 'The token has expired.',
  FAST_JWT_INACTIVE: 'The token is not valid yet.',
}

/** 401 without an error code, which RFC 6750 §3.1 demands for a request that carries no token. */
export const noToken = (): Problem => problem('unauthorized', { headers: { 'www-authenticate': REALM } })

/**
 * 401 for a refused token: `invalid_token` (RFC 6750 §3.1), with a sentence when the token has expired or is not valid
 * yet.
 *
 * @param cause the verifier's error, for the log
 */
export function badToken(cause: unknown): Problem {
  const description = DESCRIPTIONS[String((cause as { code?: unknown } | undefined)?.code)]
  return problem('unauthorized', {
    ...(description === undefined ? {} : { detail: description }),
    headers: {
      'www-authenticate': [
        `${REALM}, error="invalid_token"`,
        ...(description === undefined ? [] : [`error_description="${description}"`]),
      ].join(', '),
    },
    cause,
  })
}

/** 403 that names the scope which the token lacks. */
export const insufficientScope = (scope: Scope | AgentScope): Problem =>
  problem('insufficient_scope', {
    detail: `The token lacks the scope ${scope}.`,
    headers: { 'www-authenticate': `${REALM}, error="insufficient_scope", scope="${scope}"` },
  })
