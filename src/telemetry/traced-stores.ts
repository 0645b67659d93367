import { SpanKind, SpanStatusCode } from '@opentelemetry/api'
import type { Stores } from '../services/context.ts'
import type { CurrentSpan } from './current-span.ts'

/** Queries that all waiting requests share. They belong to no single request. */
const SHARED = new Set(['runs.states', 'feed.read'])

/**
 * The same stores. Every call by a request is a span in the trace of that request, named after the store and its
 * function. Its time includes the wait for a connection. A span holds no statement and no value.
 */
export function tracedStores(stores: Stores, current: CurrentSpan): Stores {
  const traced = Object.entries(stores).map(([name, store]) => [name, tracedStore(name, store, current)])
  return Object.fromEntries(traced) as Stores
}

type Query = (...args: unknown[]) => Promise<unknown>

function tracedStore(name: string, store: object, current: CurrentSpan): object {
  return Object.fromEntries(
    Object.entries(store).map(([verb, query]) => {
      const summary = `${name}.${verb}`
      if (SHARED.has(summary) || typeof query !== 'function') return [verb, query]
      return [verb, tracedQuery(summary, query as Query, current)]
    }),
  )
}

function tracedQuery(summary: string, query: Query, current: CurrentSpan): Query {
  return async (...args) => {
    const span = current.child(`postgresql ${summary}`, {
      kind: SpanKind.CLIENT,
      attributes: { 'db.system.name': 'postgresql', 'db.query.summary': summary },
    })
    try {
      return await query(...args)
    } catch (error) {
      span?.setStatus({ code: SpanStatusCode.ERROR })
      throw error
    } finally {
      span?.end()
    }
  }
}
