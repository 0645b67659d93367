import type { ProviderName } from '../../../src/agent/settings.ts'

/** What a model says in one answer. */
export interface Said {
  reasoning?: string
  text?: string
  calls?: { id: string; name: string; args: object }[]
  end?: 'stop' | 'length' | 'filter' | 'refusal'
}

export interface Refused {
  status: number
  body: object
  headers?: Record<string, string>
}

export type Trouble =
  | 'key'
  | 'forbidden'
  | 'model'
  | 'limit'
  | 'quota'
  | 'server'
  | 'overload'
  | 'overflow'
  | 'invalid'

/** How one provider speaks over HTTP, written by its documentation. */
export interface Dialect {
  name: ProviderName
  /** The path of a call below the base address. */
  path: RegExp
  /** Where its key is. */
  header: { name: string; value: string }
  /** The events of a stream; the first `words` of them have come before the last word is out. */
  events(said: Said): string[]
  /** An error within a stream. */
  errorEvent: string
  refusal(trouble: Trouble): Refused
}

export const sse = (data: unknown, event?: string): string =>
  `${event === undefined ? '' : `event: ${event}\n`}data: ${typeof data === 'string' ? data : JSON.stringify(data)}\n\n`

/** Two halves, so that every text has a middle. */
export const halves = (text: string): string[] => {
  const middle = Math.ceil(text.length / 2)
  return [text.slice(0, middle), text.slice(middle)].filter((half) => half !== '')
}
