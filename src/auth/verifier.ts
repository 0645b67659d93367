import type { JWT, VerifyOptions } from '@fastify/jwt'
import type { FastifyInstance } from 'fastify'
import type { AuthConfig } from '../config/config.ts'
import { createKeySet, type KeySet } from './key-set.ts'
import { secretFor } from './secrets.ts'

/**
 * Verifies a token and returns its claims.
 *
 * @throws Problem `key_set_unavailable`
 * @throws an error of the verifier for every other token that is not valid; some of these errors have a `code`
 */
export type Verify = (token: string) => Promise<Record<string, unknown>>

export const CLOCK_TOLERANCE_MS = 5000
const KEY_SET_REFRESH_MS = 5 * 60_000

/** The checks that every token has to pass, besides that of its signature. */
export function rules({ issuer, audience }: AuthConfig): Partial<VerifyOptions> {
  return {
    ...(issuer === undefined ? {} : { allowedIss: issuer }),
    ...(audience === undefined ? {} : { allowedAud: audience }),
    requiredClaims: ['sub', 'exp', ...(issuer ? ['iss'] : []), ...(audience ? ['aud'] : [])],
    clockTolerance: CLOCK_TOLERANCE_MS,
  }
}

/**
 * Verification with HS256 secrets, of which there are several during a rotation. The verifier gets the token alone,
 * because a verifier that gets the request keeps requests with their bodies in its pools.
 */
export function verifyWithSecrets(jwt: JWT, secrets: readonly string[]): Verify {
  const [current] = secrets
  return async (token) => {
    const secret = secretFor(secrets, token)
    return secret === current ? jwt.verify(token) : jwt.verify(token, { key: secret } as object)
  }
}

export const KEY_SET_ALGORITHMS = ['RS256', 'ES256', 'EdDSA'] as const

/** A function by which the verifier asks for the key of a decoded token. */
export function keyFrom(keys: KeySet) {
  return async ({ header }: { header: { alg: string; kid?: string } }): Promise<string> => {
    if (!KEY_SET_ALGORITHMS.some((algorithm) => algorithm === header.alg))
      throw new Error(`the algorithm ${header.alg} is not accepted`)
    return keys.find(header)
  }
}

/** Verification with the keys of a key set. The verifier asks for a key through `keyFrom`. */
export function verifyWithKeySet(jwt: JWT): Verify {
  return async (token) => {
    try {
      return await jwt.verify(token)
    } catch (error) {
      // The verifier wraps the errors of `keyFrom`.
      const { originalError = error } = error as { originalError?: unknown }
      throw originalError
    }
  }
}

/** The key set of this instance: refreshed in the background, and part of readiness. */
export function watchedKeySet(app: FastifyInstance, url: string): KeySet {
  const keys = createKeySet(url)
  // The refresh drops withdrawn keys, and fetches new keys before the first token that needs them.
  const refresh = setInterval(() => {
    keys.refresh().catch((error) => app.log.warn({ err: error }, 'the key set could not be refreshed'))
  }, KEY_SET_REFRESH_MS).unref()
  app.addHook('onClose', async () => clearInterval(refresh))
  app.health.add('keySet', () => keys.check())
  return keys
}
