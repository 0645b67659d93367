import { Actions } from './actions.ts'
import { AnswerStream, type FollowOptions } from './answer-stream.ts'
import { Conversations } from './conversations.ts'
import { AgentChatError, clientProblem } from './errors.ts'
import { type CallOptions, type ClientOptions, Http } from './http.ts'
import { pause } from './pause.ts'
import type {
  Agent,
  EndedRun,
  Page,
  RetryOptions,
  Run,
  RunQuery,
  RunStarted,
  RunSummary,
  Turn,
  UsageQuery,
  UsageReport,
} from './types.ts'

export interface StartOptions extends CallOptions {
  /**
   * Names this start: the same key and turn give the first run again, at any time and from any process. A new one
   * for every call when it is left out, so that the attempts of one call start one run.
   */
  idempotencyKey?: string
}

export interface WaitOptions extends CallOptions {
  /** Is told of every change of a run that has not ended. */
  onUpdate?: (run: Run) => void
}

/** Seconds of one long poll, and the time after which it counts as lost. */
const POLL_SECONDS = 30
const POLL_MS = 45_000

/** The operations of agent-chat-service. Every call is repeated until it succeeds or its deadline has passed. */
export class AgentChat {
  readonly conversations: Conversations
  readonly actions: Actions
  readonly agents: { list(options?: CallOptions): Promise<{ data: Agent[] }> }
  readonly #http: Http

  constructor(options: ClientOptions) {
    const http = new Http(options)
    this.#http = http
    this.conversations = new Conversations(http)
    this.actions = new Actions(http)
    this.agents = { list: (options = {}) => http.json({ path: '/api/agent/agents', ...options }) }
  }

  /** Starts a run, once. */
  start(turn: Turn, options: StartOptions = {}): Promise<RunStarted> {
    return this.#start('/api/agent/chat', turn, options)
  }

  /** Answers the question of a run again, once. The new answer takes the place of the old one. */
  retry(runId: string, turn: RetryOptions = {}, options: StartOptions = {}): Promise<RunStarted> {
    return this.#start(`${pathOf(runId)}/retry`, turn, options)
  }

  /** The run as it is. */
  get(runId: string, options: CallOptions = {}): Promise<Run> {
    return this.#http.json({ path: pathOf(runId), ...options })
  }

  /**
   * Waits for the end of a run. Without a deadline it waits for as long as the run takes, and gives up only when the
   * service has not answered for a minute.
   */
  async wait(runId: string, { deadlineMs, onUpdate, signal }: WaitOptions = {}): Promise<EndedRun> {
    const until = Date.now() + (deadlineMs ?? Number.POSITIVE_INFINITY)
    let etag: string | undefined
    for (let polls = 1; ; polls++) {
      const begin = Date.now()
      const left = until - begin
      if (left <= 0) throw late(runId, deadlineMs, polls)
      const { status, headers, body } = await this.#http.answer<Run>({
        path: pathOf(runId),
        query: { wait: Math.min(POLL_SECONDS, Math.floor(left / 1_000)) },
        headers: etag === undefined ? {} : { 'if-none-match': etag },
        attemptMs: POLL_MS,
        ...(signal === undefined ? {} : { signal }),
        ...(left < POLL_MS ? { deadlineMs: left + 1_000 } : {}),
      })
      etag = headers.get('etag') ?? undefined
      if (status !== 304) {
        if (body.status !== 'queued' && body.status !== 'running') return body
        onUpdate?.(body)
      } else {
        // An instance that is leaving answers at once.
        const apart = Number(headers.get('retry-after') ?? 1) * 1_000
        await pause(
          Math.min(Math.max(0, begin + apart - Date.now()), Math.max(0, until - Date.now())),
          signal,
        )
      }
    }
  }

  /** Starts a run and waits for its end. */
  async run(turn: Turn, options: StartOptions & WaitOptions = {}): Promise<EndedRun> {
    const begin = Date.now()
    const { runId } = await this.start(turn, options)
    const { deadlineMs } = options
    return this.wait(
      runId,
      deadlineMs === undefined ? options : { ...options, deadlineMs: deadlineMs - (Date.now() - begin) },
    )
  }

  /** Starts a run, once, and gives its answer while it is written. */
  async stream(turn: Turn, options: StartOptions = {}): Promise<AnswerStream> {
    return new AnswerStream(this.#http, await this.start(turn, options), options)
  }

  /** The answer of a run from its first chunk on, or from the one after `lastEventId`. */
  follow(runId: string, options: FollowOptions = {}): AnswerStream {
    return new AnswerStream(this.#http, { runId }, options)
  }

  /** Cancels a run. It is answered once the run is over, or after three seconds with `cancelRequestedAt`. */
  cancel(runId: string, options: CallOptions = {}): Promise<Run> {
    return this.#http.json({ method: 'POST', path: `${pathOf(runId)}/cancel`, ...options })
  }

  /** Runs without their contents, newest first. */
  list(query: RunQuery = {}, options: CallOptions = {}): Promise<Page<RunSummary>> {
    return this.#http.json({ path: '/api/agent/chat', query, ...options })
  }

  /** What the ended runs have used. */
  usage(query: UsageQuery = {}, options: CallOptions = {}): Promise<UsageReport> {
    return this.#http.json({ path: '/api/agent/usage', query, ...options })
  }

  #start(path: string, body: Turn | RetryOptions, options: StartOptions): Promise<RunStarted> {
    const { idempotencyKey = crypto.randomUUID(), signal, deadlineMs } = options
    return this.#http.json({
      method: 'POST',
      path,
      body,
      headers: { 'idempotency-key': idempotencyKey },
      ...(signal === undefined ? {} : { signal }),
      ...(deadlineMs === undefined ? {} : { deadlineMs }),
    })
  }
}

const pathOf = (runId: string) => `/api/agent/chat/${encodeURIComponent(runId)}`

const late = (runId: string, deadlineMs: number | undefined, attempts: number) =>
  new AgentChatError(
    clientProblem('deadline_exceeded', `The run ${runId} has not ended within ${deadlineMs} ms. It goes on.`),
    { attempts },
  )
