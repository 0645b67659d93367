import { AgentChatError, clientProblem } from './errors.ts'

/** One event of a stream of server-sent events. */
export interface ServerSentEvent {
  id?: string
  data: string
}

/**
 * The events of an answer. An event whose end is missing is left out. Throws when the connection is cut, and when
 * nothing has arrived for `silenceMs`.
 */
export async function* serverSentEvents(
  body: ReadableStream<Uint8Array>,
  silenceMs: number,
): AsyncGenerator<ServerSentEvent, void, undefined> {
  const reader = body.getReader()
  const decoder = new TextDecoder()
  let text = ''
  let event = blank()
  try {
    for (;;) {
      const { done, value } = await within(silenceMs, reader.read())
      if (done) return
      text += decoder.decode(value, { stream: true })
      // A carriage return at the end may be the first half of a line break.
      const lines = text.split(/\r\n|\n|\r(?!$)/)
      text = lines.pop() ?? ''
      for (const line of lines) {
        if (line !== '') read(line, event)
        else {
          const { id, data } = event
          event = blank()
          if (data.length > 0) yield { ...(id === undefined ? {} : { id }), data: data.join('\n') }
        }
      }
    }
  } finally {
    // Not awaited: a connection that is cut has nothing to cancel.
    reader.cancel().catch(() => {})
  }
}

interface Unfinished {
  id?: string
  data: string[]
}
const blank = (): Unfinished => ({ data: [] })

function read(line: string, event: Unfinished): void {
  const [, field, value = ''] = /^([^:]*)(?:: ?(.*))?$/s.exec(line) ?? []
  if (field === 'data') event.data.push(value)
  if (field === 'id') event.id = value
}

async function within<T>(milliseconds: number, promise: Promise<T>): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined
  const silence = new Promise<never>((_, reject) => {
    const detail = `The stream was silent for ${milliseconds} ms.`
    timer = setTimeout(
      () => reject(new AgentChatError(clientProblem('connection_failed', detail), { attempts: 1 })),
      milliseconds,
    )
  })
  try {
    return await Promise.race([promise, silence])
  } finally {
    clearTimeout(timer)
  }
}
