import type { Chunk } from './chunks.ts'
import { AgentChatError } from './errors.ts'
import { type ServerSentEvent, serverSentEvents } from './events.ts'
import type { CallOptions, Http } from './http.ts'
import { backoff, pause } from './pause.ts'

export interface FollowOptions extends CallOptions {
  /** The last `id` that was read: the stream goes on with the next frame. */
  lastEventId?: string
}

/** The service sends something at least every ten seconds. */
const SILENCE_MS = 30_000
const PATIENCE_MS = 60_000

/**
 * The answer of a run while it is written. Iterating connects; after a cut the stream goes on with the next chunk,
 * so that none is missing and none comes twice. Leaving the loop closes the connection, and the run goes on.
 */
export class AnswerStream implements AsyncIterable<Chunk> {
  readonly runId: string
  /** Absent when the conversation could not be stored. */
  readonly conversationId: string | undefined
  /** The `id` of the newest chunk that was read, for `follow` in another process. */
  lastEventId: string | undefined
  readonly #http: Http
  readonly #options: FollowOptions

  constructor(http: Http, ids: { runId: string; conversationId?: string }, options: FollowOptions) {
    this.runId = ids.runId
    this.conversationId = ids.conversationId
    this.lastEventId = options.lastEventId
    this.#http = http
    this.#options = options
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Chunk, void, undefined> {
    const { signal } = this.#options
    let cuts = 0
    let patientUntil = Date.now() + PATIENCE_MS
    for (;;) {
      const events = await this.#connect()
      if (events === undefined) return
      try {
        for (;;) {
          const event = await next(events)
          if (event === undefined) break
          cuts = 0
          patientUntil = Date.now() + PATIENCE_MS
          if (event.id !== undefined) this.lastEventId = event.id
          if (event.data === '[DONE]') return
          yield JSON.parse(event.data) as Chunk
        }
      } finally {
        await events.return()
      }
      signal?.throwIfAborted()
      const wait = backoff(cuts++)
      if (Date.now() + wait > patientUntil) throw new AgentChatError(CUT, { attempts: cuts })
      await pause(wait, signal)
    }
  }

  /** The texts of the answer alone, piece by piece. */
  async *text(): AsyncGenerator<string, void, undefined> {
    for await (const chunk of this) if (chunk.type === 'text-delta') yield chunk.delta
  }

  async #connect() {
    const response = await this.#http.open({
      path: `/api/agent/chat/${encodeURIComponent(this.runId)}/stream`,
      query: { ui: 7 },
      // Refusals are problems only where JSON is named.
      headers: {
        accept: 'text/event-stream, application/problem+json, application/json',
        ...(this.lastEventId === undefined ? {} : { 'last-event-id': this.lastEventId }),
      },
      ...this.#options,
    })
    return response.body === null ? undefined : serverSentEvents(response.body, SILENCE_MS)
  }
}

const CUT = {
  code: 'connection_failed',
  status: 0,
  title: 'Connection failed',
  detail: 'The stream was cut again and again.',
  retryable: true,
} as const

/** The next event, or undefined after a cut. */
async function next(
  events: AsyncGenerator<ServerSentEvent, void, undefined>,
): Promise<ServerSentEvent | undefined> {
  try {
    return (await events.next()).value ?? undefined
  } catch {
    return undefined
  }
}
