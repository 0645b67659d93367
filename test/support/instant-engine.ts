import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { json } from 'node:stream/consumers'
import { apiRun } from '../engine/http-engine.ts'

export interface InstantEngine {
  url: string
  /** Runs that were started so far. */
  readonly runs: number
  stop(): void
}

interface Event {
  tags: string[]
  row: object
}

/** How many events are kept for slow subscriptions, and how many runs can be retrieved. */
const KEPT = 10_000
const POLL_MS = 20_000

const OUTPUT = {
  uiMessage: {
    id: 'answer',
    role: 'assistant',
    parts: [{ type: 'text', text: 'An answer of some words. '.repeat(20) }],
  },
  usage: { inputTokens: 10, outputTokens: 10, totalTokens: 20 },
  finishReason: 'stop',
  chunkCount: 5,
}

/**
 * The part of Trigger.dev's API that the service needs. Every run is completed as soon as it is started, and the
 * subscriptions to its tags get its events. Only the newest runs are kept.
 */
export async function startInstantEngine(): Promise<InstantEngine> {
  const feed: Event[] = []
  const tagsOf = new Map<string, string[]>()
  const sleepers = new Set<() => void>()
  let dropped = 0
  let runs = 0

  function tell(tags: string[], row: object): void {
    feed.push({ tags, row })
    if (feed.length > 2 * KEPT) dropped += feed.splice(0, KEPT).length
    for (const wake of sleepers) wake()
  }

  async function trigger(request: IncomingMessage): Promise<object> {
    const body = (await json(request)) as { options?: { tags?: string | string[] } }
    const tags = [body.options?.tags ?? []].flat()
    const id = `run_instant${++runs}`
    tagsOf.set(id, tags)
    const [oldest] = tagsOf.keys()
    if (tagsOf.size > KEPT && oldest !== undefined) tagsOf.delete(oldest)
    const at = new Date().toISOString().slice(0, -1)
    const row = (operation: string, value: object) => ({
      key: `"public"."TaskRun"/"${id}"`,
      value: { id, friendlyId: id, createdAt: at, startedAt: at, runTags: `{${tags.join(',')}}`, ...value },
      headers: { operation },
    })
    tell(tags, row('insert', { status: 'EXECUTING' }))
    setImmediate(() => tell(tags, row('update', { status: 'COMPLETED_SUCCESSFULLY', completedAt: at })))
    return { id, isCached: false }
  }

  /** One long poll of Electric's shape protocol; the offset counts the events of all tags. */
  async function subscription(url: URL, response: ServerResponse): Promise<void> {
    const tag = url.searchParams.get('tags') ?? ''
    const asked = url.searchParams.get('offset') ?? '-1'
    const end = () => dropped + feed.length
    const offset = asked === '-1' ? end() : Number.parseInt(asked, 10)
    const found: object[] = []
    let searched = offset
    const news = () => {
      for (const { tags, row } of feed.slice(Math.max(0, searched - dropped)))
        if (tags.includes(tag)) found.push(row)
      searched = end()
      return found
    }
    const until = Date.now() + POLL_MS
    while (asked !== '-1' && news().length === 0 && Date.now() < until && !response.destroyed) {
      await new Promise<void>((resolve) => {
        const wake = () => {
          sleepers.delete(wake)
          clearTimeout(timer)
          response.off('close', wake)
          resolve()
        }
        const timer = setTimeout(wake, until - Date.now())
        sleepers.add(wake)
        response.once('close', wake)
      })
    }
    const rows = news()
    response
      .writeHead(200, {
        'content-type': 'application/json',
        'electric-handle': 'handle',
        'electric-offset': `${end()}_0`,
        'electric-cursor': String(end()),
        'electric-up-to-date': '',
        'electric-schema': JSON.stringify({ runTags: { type: 'text', dims: 1 } }),
      })
      .end(JSON.stringify([...rows, { headers: { control: 'up-to-date' } }]))
  }

  const server = createServer(async (request, response) => {
    const url = new URL(request.url ?? '', 'http://engine')
    if (url.pathname.startsWith('/realtime/v1/runs')) return subscription(url, response)
    const id = /\/runs\/(run_[^/]+)/.exec(url.pathname)?.[1]
    const answer = url.pathname.endsWith('/trigger')
      ? await trigger(request)
      : id === undefined
        ? { data: [], pagination: {} }
        : apiRun(id, 'COMPLETED', { tags: tagsOf.get(id) ?? [], output: OUTPUT, finishedAt: new Date() })
    response.setHeader('content-type', 'application/json')
    response.end(JSON.stringify(answer))
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    get runs() {
      return runs
    },
    stop() {
      server.closeAllConnections()
      server.close()
    },
  }
}
