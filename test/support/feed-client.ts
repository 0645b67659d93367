import { type Service, token } from './service.ts'

export interface FeedEvent {
  id: string
  type: string
  timestamp: string
  data: Record<string, string>
}

export interface FeedClient {
  status: number
  /** The events so far, without `feed.opened`. */
  events: FeedEvent[]
  /** The id that a client sends as `Last-Event-ID`. Ids without data count, too. */
  lastId(): string | undefined
  body(): string
  /** Resolves when an event satisfies the condition; rejects when the connection ends before. */
  until(wanted: (event: FeedEvent) => boolean): Promise<FeedEvent>
  /** How the connection has ended: `end` without an error, `cut` otherwise. */
  closed: Promise<'end' | 'cut'>
  leave(): void
}

export interface FeedOptions {
  user?: string
  conversationId?: string | undefined
  lastEventId?: string | undefined
  lifetime?: string
}

/** Opens a feed over real HTTP and keeps reading it, as EventSource does. Resolves when the feed has begun. */
export async function openFeed(
  { url }: Pick<Service, 'url'>,
  { user = 'alice', conversationId, lastEventId, lifetime = '1h' }: FeedOptions = {},
): Promise<FeedClient> {
  const client = new AbortController()
  const path = conversationId === undefined ? '/events' : `/conversations/${conversationId}/events`
  const response = await fetch(`${url}/api/agent${path}`, {
    headers: {
      authorization: `Bearer ${await token(user, {}, lifetime)}`,
      ...(lastEventId === undefined ? {} : { 'last-event-id': lastEventId }),
    },
    signal: client.signal,
  })
  const events: FeedEvent[] = []
  const watchers = new Set<() => void>()
  let text = ''
  let parsed = 0
  let id = lastEventId
  let hasEnded = false
  const begun = Promise.withResolvers<void>()

  function parse(): void {
    for (let end = text.indexOf('\n\n', parsed); end >= 0; end = text.indexOf('\n\n', parsed)) {
      const lines = text.slice(parsed, end).split('\n')
      parsed = end + 2
      id = lines.find((line) => line.startsWith('id: '))?.slice(4) ?? id
      const data = lines.find((line) => line.startsWith('data: '))?.slice(6)
      if (data === undefined) continue
      const event = { id: id ?? '', ...JSON.parse(data) }
      if (event.type !== 'feed.opened') events.push(event)
      else begun.resolve()
    }
    for (const check of watchers) check()
  }

  async function read(): Promise<'end' | 'cut'> {
    try {
      for await (const piece of response.body?.pipeThrough(new TextDecoderStream()) ?? []) {
        text += piece
        if (response.ok) parse()
      }
      return 'end'
    } catch {
      return 'cut'
    }
  }
  const closed = read()
  void closed.then(() => {
    hasEnded = true
    begun.resolve()
    for (const check of watchers) check()
  })
  if (lastEventId === undefined) await begun.promise
  return {
    status: response.status,
    events,
    lastId: () => id,
    body: () => text,
    closed,
    leave: () => client.abort(),
    until(wanted) {
      return new Promise((resolve, reject) => {
        const check = () => {
          const found = events.find(wanted)
          if (found === undefined && !hasEnded) return
          watchers.delete(check)
          if (found === undefined) reject(new Error(`the feed ended: ${text.slice(-500)}`))
          else resolve(found)
        }
        watchers.add(check)
        check()
      })
    },
  }
}
