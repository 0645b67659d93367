import type { FastifyInstance } from 'fastify'
import { publicClaims, requireSecret } from './auth.ts'

/** The claims that the SDK asks for before it signs a public token itself. */
export function tokenRoutes(app: FastifyInstance): void {
  app.post('/api/v1/auth/jwt/claims', async (request) => {
    requireSecret(request.apiCaller)
    return publicClaims
  })
}
