import type { Caller } from '../caller.ts'

export const SCOPES = ['agent:read', 'agent:write', 'agent:delegate', 'agent:admin', 'agent:approve'] as const
export type Scope = (typeof SCOPES)[number]
/** The scope to use an agent, where the operator asks for it. */
export type AgentScope = `agent:use:${string}`

/** The claims of a verified token that the service uses. */
export interface Identity {
  subject: string
  /** The chain of `act` claims (RFC 8693), nearest first; empty when the subject calls for itself. */
  actors: string[]
  scopes: ReadonlySet<string>
  expiresAt: Date
}

/** 1 to 255 printable characters: no controls, surrogates, line separators or unassigned code points. */
export const isPrintable = (value: unknown): value is string =>
  typeof value === 'string' && /^[^\p{C}\p{Zl}\p{Zp}]{1,255}$/u.test(value)

const MAX_ACTORS = 10
/** The latest time, in seconds, that `Date` can hold. */
const LAST_SECOND = 8_640_000_000_000

/**
 * Reads the claims of a token whose signature, times, issuer and audience have been verified.
 *
 * @param scopeClaims the claims that hold scopes (AUTH_SCOPE_CLAIMS); the token has the scopes of all of them
 * @throws Error that says what is wrong, for the log only
 */
export function readClaims(claims: Record<string, unknown>, scopeClaims: readonly string[]): Identity {
  if (!isPrintable(claims.sub)) throw new Error('sub is not a string of 1 to 255 printable characters')
  if (typeof claims.exp !== 'number') throw new Error('exp is not a number')
  return {
    subject: claims.sub,
    actors: readActors(claims.act),
    scopes: new Set(scopeClaims.flatMap((name) => words(claims[name]))),
    expiresAt: new Date(Math.min(claims.exp, LAST_SECOND) * 1000),
  }
}

function readActors(act: unknown): string[] {
  const actors: string[] = []
  for (let next = act; next !== undefined; next = (next as { act?: unknown }).act) {
    const sub = next !== null && typeof next === 'object' ? (next as { sub?: unknown }).sub : undefined
    if (!isPrintable(sub)) throw new Error('act is not an object whose sub has 1 to 255 printable characters')
    if (actors.push(sub) > MAX_ACTORS) throw new Error(`act is nested deeper than ${MAX_ACTORS}`)
  }
  return actors
}

/** The scopes in one claim: words separated by spaces (RFC 8693 §4.2), or an array of words. */
function words(value: unknown): string[] {
  if (typeof value === 'string') return value.split(' ').filter((word) => word !== '')
  return Array.isArray(value) ? value.filter((word) => typeof word === 'string') : []
}

/** The caller of a request: the effective user, and the chain of actors when an actor calls for that user. */
export function toCaller({ subject, actors, scopes }: Identity, onBehalfOf?: string): Caller {
  const chain = onBehalfOf === undefined ? actors : [subject, ...actors]
  return {
    userId: onBehalfOf ?? subject,
    ...(chain.length === 0 ? {} : { actor: chain.join(', ') }),
    scopes: [...scopes],
  }
}
