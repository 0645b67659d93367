import { type Problem, problem } from '../errors.ts'
import type { Scope } from './claims.ts'

const REALM = 'Bearer realm="agent-chat-service"'

/** 401 as RFC 6750 wants it: no reason while there was no token, and never more than "invalid". */
export const unauthorized = (cause?: unknown): Problem =>
  problem('unauthorized', {
    headers: { 'www-authenticate': cause === undefined ? REALM : `${REALM}, error="invalid_token"` },
    cause,
  })

export const insufficientScope = (scope: Scope): Problem =>
  problem('insufficient_scope', {
    detail: `The token lacks the scope ${scope}.`,
    headers: { 'www-authenticate': `${REALM}, error="insufficient_scope", scope="${scope}"` },
  })
