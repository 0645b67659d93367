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

/** The parts of the engine with which its routes work. */
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

/** The header of a 404 for a run of an earlier process of the engine. Such a run is lost. */
export const lostHeaders = (id: string, bootId: string): Record<string, string> =>
  isOfOtherBoot(id, bootId) ? { 'x-run-lost': 'true' } : {}

/**
 * The run that a request names, for routes that read from a replica on a real server. Throws 404, or 403 without a scope
 * for the run.
 */
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
