import type { FastifyRequest } from 'fastify'
import { notFound } from './answers.ts'
import { type Access, authorize, type Caller, resourcesOf } from './auth.ts'
import { isOfOtherBoot } from './ids.ts'
import type { Keys } from './keys.ts'
import type { Lifecycle } from './lifecycle.ts'
import type { PacketStore } from './packets.ts'
import type { Run } from './run.ts'
import type { RunStore } from './store.ts'
import type { Switches } from './switches.ts'
import type { ViewContext } from './views.ts'

declare module 'fastify' {
  interface FastifyRequest {
    apiCaller: Caller
  }
}

/** What the routes work with. */
export interface RouteContext {
  bootId: string
  secretKey: string
  store: RunStore
  keys: Keys
  lifecycle: Lifecycle
  packets: PacketStore
  view: ViewContext
  switches: Switches
}

/** The header of a 404 that says: the run belonged to an earlier start of the engine, so it is lost for certain. */
export const lostHeaders = (id: string, bootId: string): Record<string, string> =>
  isOfOtherBoot(id, bootId) ? { 'x-run-lost': 'true' } : {}

/** The run that a request names, where a real server reads from a replica. Throws 404, or 403 without a scope for it. */
export function findRun(
  context: RouteContext,
  request: FastifyRequest,
  id: string,
  action: Access['action'],
  retryNotFound = false,
): Run {
  const run = context.store.get(id)
  if (!run) throw notFound(retryNotFound, lostHeaders(id, context.bootId))
  authorize(request.apiCaller, { action, resources: resourcesOf(run) })
  return run
}
