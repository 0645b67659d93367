import { setTimeout } from 'node:timers/promises'
import { type CallOptions, type Service, token } from '../support/service.ts'

/** One event of a stream; `chunk` is undefined for `[DONE]`. */
export interface StreamEvent {
  id?: number
  // biome-ignore lint/suspicious/noExplicitAny: parts are what the tests look into
  chunk?: any
}

/** The complete events of a body that may be cut anywhere; an event counts once its blank line is there. */
export function parseEvents(body: string): StreamEvent[] {
  return body
    .split('\n\n')
    .slice(0, -1)
    .flatMap((block) => {
      const fields = new Map(
        block.split('\n').map((line) => [line.split(': ', 1)[0], line.slice(line.indexOf(': ') + 2)]),
      )
      const data = fields.get('data')
      if (data === undefined) return []
      const id = fields.get('id')
      return [
        {
          ...(id === undefined ? {} : { id: Number(id) }),
          ...(data === '[DONE]' ? {} : { chunk: JSON.parse(data) }),
        },
      ]
    })
}

/** What the text deltas add up to. */
export const textOf = (events: StreamEvent[]): string =>
  events.map(({ chunk }) => (chunk?.type === 'text-delta' ? chunk.delta : '')).join('')

export const typesOf = (events: StreamEvent[]) => events.map(({ chunk }) => chunk?.type ?? '[DONE]')

export interface OpenStream {
  status: number
  headers: Headers
  /** What has come so far. */
  events: StreamEvent[]
  body(): string
  /** Waits until an event satisfies the condition; rejects when the connection ends before. */
  until(wanted: (event: StreamEvent) => boolean): Promise<StreamEvent>
  /** The end of the connection: `end` when it was clean, `cut` otherwise. */
  closed: Promise<'end' | 'cut'>
  /** Goes away. */
  leave(): void
}

/** Opens a stream over real HTTP and keeps reading it. */
export async function openStream(
  service: Pick<Service, 'url'>,
  path: string,
  { user = 'alice', body, headers = {} }: CallOptions & { user?: string } = {},
): Promise<OpenStream> {
  const client = new AbortController()
  const response = await fetch(service.url + path, {
    method: body === undefined ? 'GET' : 'POST',
    headers: {
      authorization: `Bearer ${await token(user)}`,
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      ...headers,
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    signal: client.signal,
  })
  let text = ''
  let news = Promise.withResolvers<void>()
  let isOver = false
  const stream: OpenStream = {
    status: response.status,
    headers: response.headers,
    events: [],
    body: () => text,
    async until(wanted) {
      for (let at = 0; ; at++) {
        while (at >= stream.events.length) {
          if (isOver) throw new Error(`the stream ended after ${typesOf(stream.events)}: ${text}`)
          await news.promise
        }
        const event = stream.events[at]
        if (event !== undefined && wanted(event)) return event
      }
    },
    closed: Promise.resolve('end'),
    leave: () => client.abort(),
  }
  const tell = () => {
    stream.events = parseEvents(text)
    const before = news
    news = Promise.withResolvers()
    before.resolve()
  }
  const read = async () => {
    const decoder = new TextDecoder()
    try {
      for await (const bytes of response.body ?? []) {
        text += decoder.decode(bytes, { stream: true })
        tell()
      }
      return 'end' as const
    } catch {
      return 'cut' as const
    } finally {
      isOver = true
      tell()
    }
  }
  stream.closed = read()
  return stream
}

/** Starts a turn as a chat page does. */
export const ask = (
  service: Pick<Service, 'url'>,
  text: string,
  options: CallOptions & { extra?: object; query?: string } = {},
) =>
  openStream(service, `/api/agent/chat/stream${options.query ?? ''}`, {
    ...options,
    body: { messages: [userMessage(text)], ...options.extra },
  })

export const userMessage = (text: string) => ({
  id: `m-${text.length}`,
  role: 'user',
  parts: [{ type: 'text', text }],
})

/** Waits until the service has reached its database and its engine: loading the SDK alone takes a while. */
export async function ready(...services: Pick<Service, 'call'>[]): Promise<void> {
  for (const service of services) {
    while ((await service.call('GET', '/readyz')).status !== 200) await setTimeout(50)
  }
}
