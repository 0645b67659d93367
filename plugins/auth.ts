import jwt from '@fastify/jwt'
import type { FastifyPluginAsync, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { bearerToken } from '../src/auth/bearer-token.ts'
import { type Identity, readClaims, toCaller } from '../src/auth/claims.ts'
import { effectiveUser } from '../src/auth/effective-user.ts'
import { badToken, insufficientScope, noToken } from '../src/auth/refusals.ts'
import { rememberedTokens } from '../src/auth/remembered-tokens.ts'
import {
  KEY_SET_ALGORITHMS,
  keyFrom,
  rules,
  verifyWithKeySet,
  verifyWithSecrets,
  watchedKeySet,
} from '../src/auth/verifier.ts'
import type { Caller } from '../src/caller.ts'
import type { AuthConfig } from '../src/config/config.ts'
import { Problem, problem } from '../src/errors.ts'
import { nameInLog } from '../src/http/request-log.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** The user and the actor of the request. Not set on public routes. */
    caller: Caller
    /** When the token of the request ends; streams end with it. Not set on public routes. */
    tokenExpiresAt: Date
  }
}

/** Verifies the bearer token of every route that is not public, and that the token has the scope of the route. */
const auth: FastifyPluginAsync<AuthConfig> = async (app, config) => {
  const { keys } = config
  const [secret, algorithms] =
    keys.kind === 'jwks'
      ? [{ public: keyFrom(watchedKeySet(app, keys.url)) as never }, [...KEY_SET_ALGORITHMS]]
      : [keys.secrets[0] ?? '', ['HS256' as const]]
  await app.register(jwt, { secret, verify: { algorithms, ...rules(config) } })
  const verify = keys.kind === 'jwks' ? verifyWithKeySet(app.jwt) : verifyWithSecrets(app.jwt, keys.secrets)
  const remembered = rememberedTokens()
  async function identityOf(token: string): Promise<Identity> {
    const known = remembered.find(token)
    if (known !== undefined) return known
    const identity = readClaims(await verify(token), config.scopeClaims)
    remembered.add(token, identity)
    return identity
  }
  app.decorateRequest('caller')
  app.decorateRequest('tokenExpiresAt')

  app.addHook('onRequest', async (request) => {
    const { access, scope } = request.routeOptions.config
    if (access === 'public') return
    // The start refuses routes without a declaration, so this is a second guard: such a route refuses every request.
    if (scope === undefined) throw problem('internal', { cause: 'a route without access' })

    const identity = await identify(request, identityOf)
    if (!identity.scopes.has(scope)) throw insufficientScope(scope)
    const delegates = request.headers['x-effective-user'] !== undefined
    if (delegates && !identity.scopes.has('agent:delegate')) throw insufficientScope('agent:delegate')
    request.caller = toCaller(identity, effectiveUser(request.raw))
    request.tokenExpiresAt = identity.expiresAt
    const { userId, actor } = request.caller
    nameInLog(request.log, { userId, ...(actor === undefined ? {} : { actor }) })
  })
}

/** Every error that the verifier throws about a token is a 401. Only the key set can be unavailable. */
async function identify(
  request: FastifyRequest,
  identityOf: (token: string) => Promise<Identity>,
): Promise<Identity> {
  if (request.headers.authorization === undefined) throw noToken()
  try {
    return await identityOf(bearerToken(request.raw))
  } catch (error) {
    if (error instanceof Problem) throw error
    await request.server.limits.badToken(request)
    throw badToken(error)
  }
}

export default fp(auth, {
  name: 'auth',
  fastify: '5.x',
  dependencies: ['addresses', 'errors', 'health', 'limits'],
})
