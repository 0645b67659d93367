import { once } from 'node:events'
import type { FastifyReply } from 'fastify'
import type { Run } from './run.ts'
import { columnsWithout, rowMessage, type ShapeMessage, schemaHeader, UP_TO_DATE } from './shape.ts'
import type { RunStore } from './store.ts'

/** A request of Electric's shape protocol. `offset` "-1" asks for the whole state, any other for the later changes. */
export interface ShapeQuery {
  offset?: string
  handle?: string
  live?: string
  skipColumns?: string
}

/** The runs of a subscription, and the changes that are kept from it (the switch `loseEvents`). */
export interface Feed {
  store: RunStore
  handle: string
  matches: (run: Run) => boolean
  isLost: (run: Run) => boolean
  /** Milliseconds after which a long poll without events is answered. */
  longPollMs: number
}

/**
 * Answers one request for the changes of the runs that `matches` selects. The client's offset is the number of the last
 * change that the client has seen, so a change between two polls is never missed. Of several changes to one run between
 * two polls the client sees the last. A lost change is sent only when a long poll has ended without other changes.
 */
export async function answerShape(reply: FastifyReply, query: ShapeQuery, feed: Feed): Promise<FastifyReply> {
  const { store, handle } = feed
  const columns = columnsWithout(query.skipColumns)
  const since = query.offset === undefined || query.offset === '-1' ? -1 : Number(query.offset.split('_')[1])
  reply.headers({ 'cache-control': 'no-store', 'access-control-allow-origin': '*' })
  reply.header('electric-handle', handle)
  // The client follows the feed of an earlier start of the engine, which no longer exists.
  if ((query.handle && query.handle !== handle) || Number.isNaN(since) || since > store.lastChange) {
    reply.header('electric-offset', '-1')
    return reply.code(409).send([{ headers: { control: 'must-refetch' } }])
  }
  const isLive = query.live === 'true'
  const runs = isLive && since >= 0 ? await liveNews(reply, since, feed) : knownNews(since, feed)
  const last = store.lastChange
  const messages: ShapeMessage[] = runs.map((run) =>
    rowMessage(run, run.firstChange > since ? 'insert' : 'update', columns),
  )
  messages.push(UP_TO_DATE)
  reply.header('electric-offset', `${since < 0 ? 0 : Date.now()}_${last}`)
  if (isLive) reply.header('electric-cursor', String(last))
  else reply.header('electric-schema', schemaHeader(columns))
  return reply.send(messages)
}

/** The runs that have changed since the client's offset; all runs for a client without an offset. */
function knownNews(since: number, { store, matches }: Feed): Run[] {
  return (since < 0 ? [...store.all()] : store.changedSince(since)).filter(matches)
}

/** Waits for changes. A long poll that ends without any is answered with all changes that have been lost so far. */
async function liveNews(reply: FastifyReply, since: number, feed: Feed): Promise<Run[]> {
  const { store, matches, isLost } = feed
  const isTold = (run: Run) => matches(run) && !isLost(run)
  const told = () => store.changedSince(since).filter(isTold)
  if (told().length === 0) await nextChange(reply, isTold, feed)
  const news = told()
  return news.length > 0 ? news : [...store.all()].filter((run) => matches(run) && isLost(run))
}

/** Waits for a change that is not lost, for the end of the long poll, or for the end of the connection. */
async function nextChange(
  reply: FastifyReply,
  isTold: (run: Run) => boolean,
  { store, longPollMs }: Feed,
): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  const onChange = (run: Run) => isTold(run) && resolve()
  const timer = setTimeout(resolve, longPollMs).unref()
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
