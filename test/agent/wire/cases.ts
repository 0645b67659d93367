import type { FailureCode } from '../../../src/agent/failure.ts'
import type { FinishReason } from '../../../src/agent/turn.ts'
import type { Dialect, Trouble } from './dialect.ts'
import { type Behaviour, open, refuse, refuses, says } from './server.ts'

/** What a turn comes to: its finish reason, or its error code. */
export type End = { finishReason: FinishReason } | { errorCode: FailureCode }

export interface Case {
  name: string
  /** What the provider does; undefined where its protocol cannot do it. */
  behaves(dialect: Dialect): Behaviour
  end: End
  /** Providers for which the end is another one. */
  but?: Partial<Record<Dialect['name'], End>>
  /** Words that have come before the end. */
  text?: string
}

const failed = (errorCode: FailureCode) => ({ errorCode })
const finished = (finishReason: FinishReason) => ({ finishReason })
const refusal = (name: string, trouble: Trouble, errorCode: FailureCode): Case => ({
  name,
  behaves: (dialect) => refuses(dialect, trouble),
  end: failed(errorCode),
})

/** The events of "Hello there." up to the middle of its text. */
function begun(dialect: Dialect): string {
  const events = dialect.events({ text: 'Hello there.' })
  return events.slice(0, events.findIndex((event) => event.includes('Hello ')) + 1).join('')
}

/** Every way in which a call of a model ends, and what the turn comes to. */
export const CASES: Case[] = [
  {
    name: 'text',
    behaves: (dialect) => says(dialect, { text: 'Hello there.' }),
    end: finished('stop'),
    text: 'Hello there.',
  },
  {
    name: 'length limit',
    behaves: (dialect) => says(dialect, { text: 'Hello there.', end: 'length' }),
    end: finished('length'),
    text: 'Hello there.',
  },
  {
    name: 'length limit before the first word',
    behaves: (dialect) => says(dialect, { reasoning: 'Hm, so.', end: 'length' }),
    end: finished('length'),
    text: 'I reached the length limit before the first word of my answer.',
  },
  {
    name: 'content filter',
    behaves: (dialect) => says(dialect, { text: 'Hello there.', end: 'filter' }),
    end: finished('content_filter'),
    text: 'Hello there.',
  },
  {
    name: 'refusal by the model',
    behaves: (dialect) => says(dialect, { text: 'I cannot help.', end: 'refusal' }),
    end: finished('content_filter'),
  },
  {
    name: 'empty answer',
    behaves: (dialect) => says(dialect, {}),
    end: failed('model_silent'),
    text: '',
  },
  {
    name: 'reasoning without an answer',
    behaves: (dialect) => says(dialect, { reasoning: 'Hm, so.' }),
    end: failed('model_silent'),
    text: '',
  },
  refusal('401, wrong key', 'key', 'provider_auth'),
  refusal('403', 'forbidden', 'provider_auth'),
  refusal('404, unknown model', 'model', 'model_not_found'),
  refusal('400', 'invalid', 'provider_rejected'),
  refusal('429, rate limit', 'limit', 'provider_rate_limited'),
  {
    name: '429, rate limit with Retry-After',
    behaves: (dialect) => refuses(dialect, 'limit', { 'retry-after': '90' }),
    end: failed('provider_rate_limited'),
  },
  refusal('quota used up', 'quota', 'provider_quota'),
  refusal('context overflow', 'overflow', 'context_overflow'),
  refusal('500', 'server', 'provider_error'),
  refusal('503 or 529, overloaded', 'overload', 'provider_overloaded'),
  {
    name: '529 without words',
    behaves: () => (response) => refuse(response, { status: 529, body: {} }),
    end: failed('provider_overloaded'),
  },
  {
    name: 'a redirect',
    behaves: () => (response) =>
      refuse(response, { status: 307, body: {}, headers: { location: 'http://127.0.0.1:1/' } }),
    end: failed('provider_rejected'),
  },
  { name: 'no response', behaves: () => () => {}, end: failed('model_timeout'), text: '' },
  {
    name: 'stall before the first word',
    behaves: () => (response) => void open(response).flushHeaders(),
    end: failed('model_timeout'),
    text: '',
  },
  {
    name: 'stall after the first word',
    behaves: (dialect) => (response) => void open(response).write(begun(dialect)),
    end: failed('model_timeout'),
    text: 'Hello ',
  },
  {
    name: 'connection cut in the answer',
    behaves: (dialect) => (response) => {
      open(response).write(begun(dialect), () => setTimeout(() => response.destroy(), 100))
    },
    end: failed('model_interrupted'),
    text: 'Hello ',
  },
  {
    name: 'stream that just ends',
    behaves: (dialect) => (response) => open(response).end(begun(dialect)),
    end: failed('model_interrupted'),
    but: { compatible: failed('provider_protocol') },
    text: 'Hello ',
  },
  {
    name: 'malformed JSON in the stream',
    behaves: (dialect) => (response) => open(response).end(`${begun(dialect)}data: {"sk-secret\n\n`),
    end: failed('provider_protocol'),
    text: 'Hello ',
  },
  {
    name: 'error in the stream',
    behaves: (dialect) => (response) => open(response).end(begun(dialect) + dialect.errorEvent),
    end: failed('provider_error'),
    text: 'Hello ',
  },
  {
    name: 'error as the first event',
    behaves: (dialect) => (response) => open(response).end(dialect.errorEvent),
    end: failed('provider_error'),
    text: '',
  },
  {
    name: 'HTML instead of an answer',
    behaves: () => (response) =>
      void response.writeHead(200, { 'content-type': 'text/html' }).end('<html>sk-secret</html>'),
    end: failed('provider_protocol'),
    text: '',
  },
]
