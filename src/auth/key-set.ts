import {
  type CryptoKey,
  createRemoteJWKSet,
  customFetch,
  errors,
  exportSPKI,
  type JWSHeaderParameters,
} from 'jose'
import { problem } from '../errors.ts'
import { fetchKeySet } from './fetch-key-set.ts'

export interface KeySet {
  /**
   * The public key (PEM) that the header of a token names.
   * @throws Problem `key_set_unavailable` while the set has never been reachable
   * @throws an error when the set has no such key, or only one that is too short
   */
  find(header: JWSHeaderParameters): Promise<string>
  /** Fetches the set, at most once per cooldown. Rejects when the last fetch failed. */
  refresh(): Promise<void>
  /** For readiness. Rejects when the last fetch failed; after a fetch that succeeded it fetches nothing. */
  check(): Promise<void>
}

const FETCH_TIMEOUT_MS = 3000
/** The shortest RSA key that RS256 allows (RFC 7518 §3.3). */
const MIN_RSA_BITS = 2048
/** Least time between two fetches: once the set has been fetched, and before the first fetch has succeeded. */
const COOLDOWN_MS = 10_000
const FIRST_COOLDOWN_MS = 1000

/**
 * A remote key set (RFC 7517). Fetched keys stay valid while the endpoint is away. A token with an unknown key causes a
 * fetch, at most one per cooldown. All requests that wait for the fetch share it.
 */
export function createKeySet(url: string, now = () => performance.now()): KeySet {
  // This module decides when to fetch, because jose would fetch for every unknown key while the endpoint is away.
  const remote = createRemoteJWKSet(new URL(url), {
    timeoutDuration: FETCH_TIMEOUT_MS,
    cooldownDuration: Number.POSITIVE_INFINITY,
    cacheMaxAge: Number.POSITIVE_INFINITY,
    [customFetch]: fetchKeySet,
  })
  const pems = new WeakMap<CryptoKey, Promise<string>>()
  let last = { at: Number.NEGATIVE_INFINITY, done: Promise.resolve() }
  let reachable = false
  let hasKeys = false

  function refresh(): Promise<void> {
    const cooldown = hasKeys ? COOLDOWN_MS : FIRST_COOLDOWN_MS
    if (now() - last.at >= cooldown) last = { at: now(), done: reload() }
    return last.done
  }

  async function reload(): Promise<void> {
    reachable = false
    await remote.reload()
    reachable = true
    hasKeys = true
  }

  async function load(): Promise<void> {
    if (hasKeys) return
    try {
      await refresh()
    } catch (cause) {
      throw problem('key_set_unavailable', { cause })
    }
  }

  async function lookUp(header: JWSHeaderParameters): Promise<CryptoKey> {
    try {
      return await remote(header)
    } catch (error) {
      if (!(error instanceof errors.JWKSNoMatchingKey)) throw error
      await refresh()
      return remote(header)
    }
  }

  return {
    refresh,
    check: async () => (reachable ? undefined : refresh()),
    async find(header) {
      await load()
      const key = await lookUp(header)
      const { modulusLength: bits = MIN_RSA_BITS } = key.algorithm as { modulusLength?: number }
      if (bits < MIN_RSA_BITS) throw new Error(`the RSA key has ${bits} bits, fewer than ${MIN_RSA_BITS}`)
      const pem = pems.get(key) ?? exportSPKI(key)
      pems.set(key, pem)
      return pem
    },
  }
}
