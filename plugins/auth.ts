import jwt from '@fastify/jwt'
import type { FastifyInstance, FastifyPluginAsync, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { type Identity, readClaims, toCaller } from '../src/auth/claims.ts'
import { effectiveUser } from '../src/auth/effective-user.ts'
import { createKeySet } from '../src/auth/key-set.ts'
import { insufficientScope, unauthorized } from '../src/auth/refusals.ts'
import { secretFor } from '../src/auth/secrets.ts'
import type { Caller } from '../src/caller.ts'
import type { AuthConfig } from '../src/config.ts'
import { Problem, problem } from '../src/errors.ts'
import { headerValues } from '../src/http/header-values.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** Who the request acts for. Not set on public routes. */
    caller: Caller
    /** When the token of the request ends; streams end with it. Not set on public routes. */
    tokenExpiresAt: Date
  }
}

const CLOCK_TOLERANCE_MS = 5000
const KEY_SET_REFRESH_MS = 5 * 60_000

/** Verifies the bearer token of every route that is not public, and what the route wants of it. */
const auth: FastifyPluginAsync<AuthConfig> = async (app, config) => {
  const { algorithms, keyFor } =
    config.keys.kind === 'jwks' ? fromKeySet(app, config.keys.url) : fromSecrets(config.keys.secrets)
  await app.register(jwt, {
    secret: { public: keyFor },
    decode: { complete: true },
    verify: {
      algorithms,
      ...(config.issuer === undefined ? {} : { allowedIss: config.issuer }),
      ...(config.audience === undefined ? {} : { allowedAud: config.audience }),
      requiredClaims: ['sub', 'exp', ...(config.issuer ? ['iss'] : []), ...(config.audience ? ['aud'] : [])],
      clockTolerance: CLOCK_TOLERANCE_MS,
      cache: 1000,
    },
  })
  app.decorateRequest('caller')
  app.decorateRequest('tokenExpiresAt')

  app.addHook('onRequest', async (request, reply) => {
    if (request.is404) return
    const { access, scope } = request.routeOptions.config
    if (access === 'public') return
    // Starting refuses routes without a declaration; should one slip through, it stays shut.
    if (scope === undefined) throw problem('internal', { cause: 'a route without access' })

    const identity = await identify(request)
    if (!identity.scopes.has(scope)) throw insufficientScope(scope)
    const delegates = request.headers['x-effective-user'] !== undefined
    if (delegates && !identity.scopes.has('agent:delegate')) throw insufficientScope('agent:delegate')
    request.caller = toCaller(identity, effectiveUser(request.raw))
    request.tokenExpiresAt = identity.expiresAt
    request.log = request.log.child({ ...request.caller })
    reply.log = request.log
  })
}

/** Any failure of a token is a 401, whatever the verifier throws; only the key set can be "away". */
async function identify(request: FastifyRequest): Promise<Identity> {
  if (request.headers.authorization === undefined) throw unauthorized()
  try {
    if (headerValues(request.raw, 'authorization').length > 1) throw new Error('two tokens')
    return readClaims(await request.jwtVerify())
  } catch (error) {
    if (error instanceof Problem) throw error
    await request.server.limits.badToken(request)
    throw unauthorized(error)
  }
}

type KeyFor = (request: FastifyRequest, token: unknown) => Promise<string>

function fromSecrets(secrets: string[]): { algorithms: 'HS256'[]; keyFor: KeyFor } {
  return {
    algorithms: ['HS256'],
    keyFor: async ({ headers }) => secretFor(secrets, headers.authorization?.split(' ')[1] ?? ''),
  }
}

function fromKeySet(app: FastifyInstance, url: string) {
  const algorithms = ['RS256', 'ES256', 'EdDSA'] as const
  const keys = createKeySet(url)
  // Keys that have been withdrawn go, new ones come before the first token that needs them.
  const refresh = setInterval(() => {
    keys.refresh().catch((error) => app.log.warn({ err: error }, 'the key set could not be refreshed'))
  }, KEY_SET_REFRESH_MS).unref()
  app.addHook('onClose', async () => clearInterval(refresh))
  app.health.add('keySet', () => keys.check())

  const keyFor: KeyFor = async (_request, token) => {
    const { header } = token as { header: { alg: string; kid?: string } }
    if (!algorithms.some((algorithm) => algorithm === header.alg)) throw new Error(`algorithm ${header.alg}`)
    return keys.find(header)
  }
  return { algorithms: [...algorithms], keyFor }
}

export default fp(auth, { name: 'auth', fastify: '5.x', dependencies: ['errors', 'health', 'limits'] })
