import type { Identity } from './claims.ts'
import { CLOCK_TOLERANCE_MS } from './verifier.ts'

/** Tokens that are remembered, the longest of them, and for how long a token of a withdrawn key is at most. */
const TOKENS = 1000
const LENGTH = 4096
const REMEMBERED_MS = 60_000

/**
 * Who the tokens belong to that were verified lately: a token costs its signature once a minute. Refusals are not
 * remembered: the key set may be reachable, or hold the key, a moment later.
 */
export function rememberedTokens() {
  const known = new Map<string, { identity: Identity; until: number }>()
  return {
    find(token: string): Identity | undefined {
      const found = known.get(token)
      return found !== undefined && Date.now() < found.until ? found.identity : undefined
    },
    add(token: string, identity: Identity): void {
      if (token.length > LENGTH) return
      const until = Math.min(identity.expiresAt.getTime() + CLOCK_TOLERANCE_MS, Date.now() + REMEMBERED_MS)
      known.delete(token)
      known.set(token, { identity, until })
      const [oldest] = known.keys()
      if (known.size > TOKENS && oldest !== undefined) known.delete(oldest)
    },
  }
}
