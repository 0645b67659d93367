import { AgentChatError, clientProblem, problemOf } from './errors.ts'
import { backoff, pause } from './pause.ts'

export interface ClientOptions {
  /** Address of the service, with its path when it has one. */
  url: string
  /** A bearer token, or a function that returns a valid one; it is called for every request. */
  token: string | (() => string | Promise<string>)
  /** The user to act for, with a token that has the scope `agent:delegate`. */
  user?: string
  /** Milliseconds that a call may take with all its attempts, unless the call says otherwise (60,000). */
  deadlineMs?: number
  /** Instead of the global `fetch`. */
  fetch?: typeof fetch
}

export interface CallOptions {
  /** Ends the call: it rejects with the reason of the signal. A run that was started goes on. */
  signal?: AbortSignal
  /** Milliseconds that the call may take, with all its attempts. */
  deadlineMs?: number
}

export interface Call extends CallOptions {
  method?: 'GET' | 'POST' | 'PATCH' | 'DELETE'
  path: string
  query?: object
  body?: unknown
  headers?: Record<string, string>
  /** Milliseconds in which one attempt has to be answered. */
  attemptMs?: number
  /** Whether the call may be sent again when its answer was lost. */
  once?: boolean
}

export interface Answer<Body> {
  status: number
  headers: Headers
  body: Body
}

/** One attempt of 30 s is longer than anything that the service does without being asked to wait. */
const ATTEMPT_MS = 30_000
const DEADLINE_MS = 60_000

/** Sends requests until one succeeds, is refused for good, or the deadline passes. */
export class Http {
  readonly #options: ClientOptions
  readonly #base: string

  constructor(options: ClientOptions) {
    this.#options = options
    this.#base = options.url.replace(/\/+$/, '')
  }

  /** The body of the answer, read as JSON. */
  async json<Body>(call: Call): Promise<Body> {
    return (await this.answer<Body>(call)).body
  }

  async answer<Body>(call: Call): Promise<Answer<Body>> {
    return this.#repeated(call, async (response) => {
      const { status, headers } = response
      const text = await response.text()
      return { status, headers, body: (text === '' ? undefined : JSON.parse(text)) as Body }
    })
  }

  /** The answer as soon as its head is there. The signal of the call ends its body. */
  open(call: Call): Promise<Response> {
    return this.#repeated(call, async (response) => response)
  }

  async #repeated<Result>(call: Call, read: (response: Response) => Promise<Result>): Promise<Result> {
    const until = Date.now() + (call.deadlineMs ?? this.#options.deadlineMs ?? DEADLINE_MS)
    for (let attempts = 1; ; attempts++) {
      call.signal?.throwIfAborted()
      const outcome = await this.#attempt(call, until, attempts, read)
      if ('result' in outcome) return outcome.result
      const { error } = outcome
      if (!isWorthRepeating(error, call)) throw error
      const wait = Math.max((error.retryAfter ?? 0) * 1_000, backoff(attempts))
      if (Date.now() + wait >= until) throw error
      await pause(wait, call.signal)
    }
  }

  async #attempt<Result>(
    call: Call,
    until: number,
    attempts: number,
    read: (response: Response) => Promise<Result>,
  ): Promise<{ result: Result } | { error: AgentChatError }> {
    const request = await this.#request(call)
    const timeout = new AbortController()
    const left = Math.min(call.attemptMs ?? ATTEMPT_MS, until - Date.now())
    const timer = setTimeout(() => timeout.abort(), Math.max(left, 0))
    const signal = call.signal ? AbortSignal.any([call.signal, timeout.signal]) : timeout.signal
    try {
      const { fetch = globalThis.fetch } = this.#options
      const response = await fetch(request.url, { ...request.init, signal })
      if (response.ok || response.status === 304) return { result: await read(response) }
      return { error: new AgentChatError(problemOf(response, await response.text()), { attempts }) }
    } catch (cause) {
      call.signal?.throwIfAborted()
      const detail = timeout.signal.aborted
        ? `There was no whole answer within ${Math.ceil(left / 1_000)} s.`
        : 'The connection to the service failed, or was cut before the answer was whole.'
      return { error: new AgentChatError(clientProblem('connection_failed', detail), { attempts, cause }) }
    } finally {
      clearTimeout(timer)
    }
  }

  async #request({ method = 'GET', path, query = {}, body, headers }: Call) {
    const { token, user } = this.#options
    const parameters = new URLSearchParams(pairs(query)).toString()
    return {
      url: `${this.#base}${path}${parameters === '' ? '' : `?${parameters}`}`,
      init: {
        method,
        headers: {
          accept: 'application/json, application/problem+json',
          authorization: `Bearer ${typeof token === 'string' ? token : await token()}`,
          ...(user === undefined ? {} : { 'x-effective-user': headerValue(user) }),
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
          ...headers,
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      },
    }
  }
}

/** `ifBusy: "reject"` asks for this refusal, so it is passed on at once. */
const isWorthRepeating = (error: AgentChatError, call: Call) =>
  error.retryable && error.code !== 'conversation_busy' && !(call.once && error.code === 'connection_failed')

/** Lists with commas between their items, objects as `name[key]`; what is undefined is left out. */
function pairs(query: object): [string, string][] {
  return Object.entries(query).flatMap(([name, value]): [string, string][] => {
    if (value === undefined || value === null) return []
    if (Array.isArray(value)) return value.length === 0 ? [] : [[name, value.join(',')]]
    if (typeof value !== 'object') return [[name, String(value)]]
    return Object.entries(value).map(([key, item]) => [`${name}[${key}]`, String(item)])
  })
}

/** A header holds bytes: a name in UTF-8 is sent as one character for each of its bytes. */
const headerValue = (text: string) => String.fromCharCode(...new TextEncoder().encode(text))
