import { createHash, timingSafeEqual } from 'node:crypto'
import { generateJWT, isPublicJWT, validateJWT } from '@trigger.dev/core/v3/jwt'
import type { FastifyRequest } from 'fastify'
import { HttpError, PROBLEM, unauthorized } from './answers.ts'
import { ENVIRONMENT } from './executions.ts'
import type { Run } from './run.ts'

/** The sender of a request: the holder of the secret key, or of a public token with scopes ("read:runs:run_…"). */
export type Caller = { kind: 'secret' } | { kind: 'public'; scopes: string[]; oneTimeToken?: string }

/** Claims that every public token of this environment carries. */
export const publicClaims = { sub: ENVIRONMENT.env.id, pub: true }

/** An action on resources. A token needs the scope of one of the resources. */
export interface Access {
  action: 'read' | 'write' | 'trigger'
  resources: { type: string; id?: string }[]
  /** A scope that allows the action on every resource. */
  superScope?: string
}

/** Identifies the caller by the bearer token. Throws 401. */
export async function authenticate(request: FastifyRequest, secretKey: string): Promise<Caller> {
  const header = request.headers.authorization
  if (!header) throw noHeader()
  const token = header.replace(/^Bearer /, '')
  if (sameSecret(token, secretKey)) return { kind: 'secret' }
  if (!isPublicJWT(token)) throw new HttpError(401, { error: 'Invalid API key' })
  const result = await validateJWT(token, secretKey)
  if (!result.ok) throw invalidToken(result.code)
  const { scopes, otu } = result.payload
  return {
    kind: 'public',
    scopes: Array.isArray(scopes) ? scopes.map(String) : [],
    ...(otu === true && { oneTimeToken: token }),
  }
}

/** Throws 403 unless the caller's scopes allow the action. */
export function authorize(caller: Caller, { action, resources, superScope }: Access): void {
  if (caller.kind === 'secret') return
  const granted = new Set(caller.scopes)
  if ([superScope, `${action}:all`, 'admin'].some((scope) => scope && granted.has(scope))) return
  const allowed = resources.some(
    ({ type, id }) =>
      granted.has(`${action}:${type}`) || (id !== undefined && granted.has(`${action}:${type}:${id}`)),
  )
  if (!allowed) throw unauthorized()
}

/** Throws 401 unless the caller holds the secret key. */
export function requireSecret(caller: Caller): void {
  if (caller.kind === 'secret') return
  throw new HttpError(401, { error: 'Public API keys are not allowed for this request' })
}

/** The resources of a run. A scope for one of them allows access to the run. */
export const resourcesOf = (run: Run): Access['resources'] => [
  { type: 'runs', id: run.id },
  { type: 'tasks', id: run.taskId },
  ...run.tags.map((id) => ({ type: 'tags', id })),
]

/** The token that a trigger answers with: its holder may read the run and write to its inputs. */
export async function runToken(runId: string, secretKey: string): Promise<{ token: string; claims: object }> {
  const claims = { ...publicClaims, scopes: [`read:runs:${runId}`, `write:inputStreams:${runId}`] }
  return { token: await generateJWT({ secretKey, payload: claims, expirationTime: '1h' }), claims }
}

/** Compares hashes, so that the time of the comparison does not depend on the length of the token. */
function sameSecret(token: string, secretKey: string): boolean {
  const digest = (text: string) => createHash('sha256').update(text).digest()
  return timingSafeEqual(digest(token), digest(secretKey))
}

function noHeader(): HttpError {
  const error = 'No authorization header provided'
  const type = 'https://developer.mozilla.org/en-US/docs/Web/HTTP/Status/401'
  return new HttpError(401, { title: 'Unauthorized', status: 401, type, detail: error, error }, PROBLEM)
}

function invalidToken(code: string): HttpError {
  const error =
    code === 'ERR_JWT_EXPIRED'
      ? 'Public Access Token has expired. See https://trigger.dev/docs/frontend/overview#authentication for more information.'
      : 'Public Access Token is invalid. See https://trigger.dev/docs/frontend/overview#authentication for more information.'
  return new HttpError(401, { error })
}
