import { once } from 'node:events'
import type { FastifyReply } from 'fastify'
import type { Run } from './run.ts'
import { columnsWithout, rowMessage, type ShapeMessage, schemaHeader, UP_TO_DATE } from './shape.ts'
import type { RunStore } from './store.ts'

/** A request of Electric's shape protocol; `offset` "-1" asks for the state, any other for what came after it. */
export interface ShapeQuery {
  offset?: string
  handle?: string
  live?: string
  skipColumns?: string
}

/** A long poll without news is answered after this time. */
const LONG_POLL_MS = 20_000

/**
 * Answers one request for the changes of the runs that `matches`. The offset that a client holds is the number of
 * the last change that it has seen, so changes made between two polls are never missed; of several changes to one
 * run between two polls it sees the last.
 */
export async function answerShape(
  reply: FastifyReply,
  query: ShapeQuery,
  feed: { store: RunStore; handle: string; matches: (run: Run) => boolean },
): Promise<FastifyReply> {
  const { store, handle, matches } = feed
  const columns = columnsWithout(query.skipColumns)
  const since = query.offset === undefined || query.offset === '-1' ? -1 : Number(query.offset.split('_')[1])
  reply.headers({ 'cache-control': 'no-store', 'access-control-allow-origin': '*' })
  reply.header('electric-handle', handle)
  // The client follows a feed that no longer exists: that of a former engine.
  if ((query.handle && query.handle !== handle) || Number.isNaN(since) || since > store.lastChange) {
    reply.header('electric-offset', '-1')
    return reply.code(409).send([{ headers: { control: 'must-refetch' } }])
  }
  if (query.live === 'true' && !store.changedSince(since).some(matches))
    await nextChange(reply, store, matches)
  const last = store.lastChange
  const runs = since < 0 ? [...store.all()].filter(matches) : store.changedSince(since).filter(matches)
  const messages: ShapeMessage[] = runs.map((run) =>
    rowMessage(run, run.firstChange > since ? 'insert' : 'update', columns),
  )
  messages.push(UP_TO_DATE)
  reply.header('electric-offset', `${since < 0 ? 0 : Date.now()}_${last}`)
  if (query.live === 'true') reply.header('electric-cursor', String(last))
  else reply.header('electric-schema', schemaHeader(columns))
  return reply.send(messages)
}

/** Waits for a change of a run that matches, the end of the long poll, or of the connection. */
async function nextChange(
  reply: FastifyReply,
  store: RunStore,
  matches: (run: Run) => boolean,
): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  const onChange = (run: Run) => matches(run) && resolve()
  const timer = setTimeout(resolve, LONG_POLL_MS).unref()
  const ended = new AbortController()
  store.on('change', onChange)
  once(reply.raw, 'close', { signal: ended.signal }).then(
    () => resolve(),
    () => undefined,
  )
  await promise
  clearTimeout(timer)
  ended.abort()
  store.off('change', onChange)
}
