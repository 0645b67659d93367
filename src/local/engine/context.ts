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

/** A run of a former engine is lost for certain; the header tells that apart from an id that never was. */
export const lostHeaders = (id: string, bootId: string): Record<string, string> =>
  isOfOtherBoot(id, bootId) ? { 'x-run-lost': 'true' } : {}

/** The run of a request that looks it up in a replica, if the caller may. Throws 404 or 403. */
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
