import { EventSourceParserStream } from 'eventsource-parser/stream'
import { pause, Refusal } from './api.mjs'

const LONGEST_PAUSE_MS = 10_000

/**
 * The events of a stream or a feed. After a cut the request is sent again with the id of the last event, so no event is
 * missing and none comes twice. Ends after the event `[DONE]`, after an answer without contents, and by the signal.
 * @throws Refusal when sending the request again is of no use
 */
export async function* events(api, path, signal) {
  let lastEventId
  let cuts = 0
  while (!signal.aborted) {
    let wait = Math.min(250 * 2 ** cuts++, LONGEST_PAUSE_MS)
    try {
      const headers = lastEventId === undefined ? {} : { 'last-event-id': lastEventId }
      const response = await api.open('GET', path, { headers, signal })
      if (response.status === 204) return
      for await (const { id, data } of eventsOf(response)) {
        cuts = 0
        lastEventId = id ?? lastEventId
        yield data
        if (data === '[DONE]') return
      }
    } catch (error) {
      if (error instanceof Refusal && !error.retryable) throw error
      wait = Math.max(wait, (error.retryAfter ?? 0) * 1000)
    }
    await pause(wait * (0.5 + Math.random() / 2), signal)
  }
}

async function* eventsOf(response) {
  const reader = response.body
    .pipeThrough(new TextDecoderStream())
    .pipeThrough(new EventSourceParserStream())
    .getReader()
  try {
    for (;;) {
      const { done, value } = await reader.read()
      if (done) return
      yield value
    }
  } finally {
    reader.cancel().catch(() => {})
  }
}
