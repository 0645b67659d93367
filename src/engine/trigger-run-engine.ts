import { setTimeout as sleep } from 'node:timers/promises'
import { parseFailure } from '../agent/failure.ts'
import type { IndexedChunk } from '../agent/turn.ts'
import { AGENT_QUEUE, AGENT_STREAM, AGENT_TASK_ID, type AgentOutput, type AgentTurn } from '../agent/turn.ts'
import { type Problem, problem } from '../errors.ts'
import { type CallBudget, type CallKind, callBudget } from './call-budget.ts'
import { DispatchError, isRetryable, readFailure } from './engine-error.ts'
import type { RunEngine, RunSnapshot, RunSummary } from './run-engine.ts'
import { toFailureCode, toPublicStatus } from './run-status.ts'
import { createValve } from './valve.ts'

export interface EngineOptions {
  secretKey: string
  apiUrl: string
  /** Engine calls a minute that this instance allows itself; 0: no limit. */
  callsPerMinute: number
  /** See `RunEngine`. */
  listLagMs: number
  log: { warn(object: object, message: string): void; error(object: object, message: string): void }
  /** Told of every attempt, for metrics. */
  onCall?: (call: { kind: string; outcome: string; seconds: number }) => void
}

/** The deadline of a whole call with its repetitions; the SDK itself has no timeout and no signal. */
const START_DEADLINE_MS = 10_000
const CALL_DEADLINE_MS = 5_000
/** One attempt may take this long, so that a swallowed answer leaves time for another. */
const ATTEMPT_MS = 4_000
const FIRST_PAUSE_MS = 200
/** For how long a call is repeated while nothing listens: a restart of the engine's front is bridged, no more. */
const REFUSED_MS = 2_000
/** For how long a cancel is repeated: its caller is told within 3 s, and the sweeper cancels later. */
const CANCEL_REPEAT_MS = 2_000
/** Silence after which the backend ends a stream; the reader decides by the run whether it was the end. */
const STREAM_SILENCE_SECONDS = 60
const PAGE = 100
const PING_MS = 15_000
const NO_SDK_RETRY = { retry: { maxAttempts: 1 } }

type Sdk = typeof import('@trigger.dev/sdk')

interface Repetition {
  /** @returns milliseconds before which the call must not be repeated */
  onFailure?: (error: unknown) => number
  /** Milliseconds after which a failure is final. */
  repeatMs?: number
}

/**
 * Trigger.dev through its SDK, with what the SDK lacks: deadlines, bounded retries, one budget of calls and
 * errors of our register. The SDK takes most of a second to load, so it is loaded on first use.
 */
export function triggerRunEngine(options: EngineOptions): RunEngine {
  const { secretKey, apiUrl, listLagMs, log } = options
  const budget: CallBudget = callBudget(options.callsPerMinute)
  let sdk: Promise<Sdk> | undefined
  let answeredAt = 0
  const load = () => (sdk ??= import('@trigger.dev/sdk'))
  /** Settings travel with each call: two engines may live in one process. */
  const scoped = async <T>(work: (sdk: Sdk) => Promise<T>): Promise<T> => {
    const loaded = await load()
    return loaded.auth.withAuth({ accessToken: secretKey, baseURL: apiUrl }, () => work(loaded)) as Promise<T>
  }

  /** Repeats until the deadline, or for `repeatMs`; no attempt starts after it. Rejects with the last failure. */
  async function call<T>(
    name: string,
    kind: CallKind,
    deadlineMs: number,
    work: (sdk: Sdk) => Promise<T>,
    { onFailure, repeatMs = Number.POSITIVE_INFINITY }: Repetition = {},
  ): Promise<T> {
    const deadline = AbortSignal.timeout(deadlineMs)
    const calledAt = performance.now()
    for (let pause = FIRST_PAUSE_MS; ; pause *= 2) {
      const startedAt = performance.now()
      const told = (outcome: string) =>
        options.onCall?.({ kind: name, outcome, seconds: (performance.now() - startedAt) / 1000 })
      try {
        await budget.take(kind, deadline)
        const result = await within(AbortSignal.any([deadline, AbortSignal.timeout(ATTEMPT_MS)]), () =>
          scoped(work),
        )
        told('ok')
        answeredAt = Date.now()
        return result
      } catch (error) {
        const failure = readFailure(error)
        told(failure.deadline ? 'timeout' : String(failure.status ?? 'connection'))
        const notBefore = onFailure?.(error) ?? 0
        if (failure.status === undefined || failure.status >= 500) answeredAt = 0
        if (deadline.aborted || !isRetryable(failure)) throw error
        const repeatable = failure.connectionRefused ? Math.min(repeatMs, REFUSED_MS) : repeatMs
        const left = calledAt + repeatable - performance.now()
        if (left <= 0) throw error
        const wait = Math.max(notBefore, Math.min(pause, left))
        if (performance.now() + wait > calledAt + deadlineMs) throw error
        await sleep(wait, undefined, { signal: deadline }).catch(() => {
          throw error
        })
      }
    }
  }

  function unavailable(error: unknown): Problem {
    const { status } = readFailure(error)
    if (status === 401 || status === 403) log.error({ status }, 'Trigger.dev refuses TRIGGER_SECRET_KEY')
    return problem('engine_unavailable', { retryAfter: 2, cause: error })
  }

  async function lookUp<T>(
    name: string,
    kind: CallKind,
    work: (sdk: Sdk) => Promise<T>,
    deadlineMs = CALL_DEADLINE_MS,
  ): Promise<T> {
    try {
      return await call(name, kind, deadlineMs, work)
    } catch (error) {
      throw unavailable(error)
    }
  }

  return {
    listLagMs,

    async ping(deadlineMs = CALL_DEADLINE_MS) {
      if (Date.now() - answeredAt < PING_MS) return
      await lookUp('ping', 'look', ({ runs }) => runs.list({ limit: 1 }, NO_SDK_RETRY), deadlineMs)
    },

    async start(turn, options) {
      const { engineKey, concurrencyKey, tags, ttlSeconds, maxDurationSeconds, keySeconds } = options
      const { except = [], kind = 'act', deadlineMs = START_DEADLINE_MS } = options
      let sent = false
      let mayExist = false
      try {
        const handle = await call(
          'start',
          kind,
          deadlineMs,
          async ({ runs, tasks }) => {
            if (mayExist) {
              // The engine forgets the key of a failed run: sent blindly, the turn could run twice.
              const { data } = await runs.list({ tag: tags.at(-1) ?? engineKey, limit: PAGE }, NO_SDK_RETRY)
              const known = data.find(({ id, status }) => status !== 'CANCELED' && !except.includes(id))
              if (known !== undefined) return known
            }
            sent = true
            return tasks.trigger(
              AGENT_TASK_ID,
              turn,
              {
                // Named here too: a run that comes before the worker has said which queue it is waits for ever.
                queue: AGENT_QUEUE,
                idempotencyKey: engineKey,
                idempotencyKeyTTL: `${keySeconds}s`,
                concurrencyKey,
                tags,
                ttl: ttlSeconds,
                maxDuration: maxDurationSeconds,
                maxAttempts: 1,
              },
              NO_SDK_RETRY,
            )
          },
          {
            onFailure: (error) => {
              const failure = readFailure(error)
              mayExist ||=
                sent && !failure.connectionRefused && isRetryable(failure) && failure.status !== 429
              return mayExist ? listLagMs : 0
            },
          },
        )
        return handle.id
      } catch (error) {
        if (readFailure(error).status === 413)
          throw new DispatchError('engine_payload_too_large', 'refused', { cause: error })
        const { details } = unavailable(error)
        throw new DispatchError('engine_unavailable', mayExist ? 'unknown' : 'refused', details)
      }
    },

    async get(runId, kind = 'look') {
      try {
        const run = await call('retrieve', kind, CALL_DEADLINE_MS, ({ runs }) =>
          runs.retrieve(runId, NO_SDK_RETRY),
        )
        return toSnapshot(run)
      } catch (error) {
        const failure = readFailure(error)
        if (failure.status !== 404) throw unavailable(error)
        return failure.headers['x-run-lost'] === 'true' ? lost(runId) : undefined
      }
    },

    async *list({ tag, createdFrom }, kind = 'sweep') {
      const query = { tag, limit: PAGE, ...(createdFrom === undefined ? {} : { from: createdFrom }) }
      let page = await lookUp('list', kind, ({ runs }) => runs.list(query, NO_SDK_RETRY))
      for (;;) {
        yield* page.data.map(toSummary)
        if (!page.hasNextPage()) return
        const current = page
        page = await lookUp('list', kind, () => current.getNextPage())
      }
    },

    async cancel(runId, kind = 'act') {
      try {
        await call('cancel', kind, CALL_DEADLINE_MS, ({ runs }) => runs.cancel(runId, NO_SDK_RETRY), {
          repeatMs: CANCEL_REPEAT_MS,
        })
      } catch (error) {
        // Unknown to the engine: there is nothing left to cancel.
        if (readFailure(error).status !== 404) throw unavailable(error)
      }
    },

    async *chunks(runId, signal, { onOpen, kind = 'look' } = {}) {
      const valve = createValve()
      // What `streams.read()` is made of. That one never says that nothing answers: it tries for ever, and goes on
      // after a break by the backend's ids.
      const stream = await lookUp('stream', kind, async () => {
        const { apiClientManager, SSEStreamSubscription } = await import('@trigger.dev/core/v3')
        const client = apiClientManager.clientOrThrow()
        return new SSEStreamSubscription(`${client.baseUrl}/realtime/v1/streams/${runId}/${AGENT_STREAM}`, {
          headers: client.getHeaders('fetchStream'),
          signal,
          timeoutInSeconds: STREAM_SILENCE_SECONDS,
          maxRetries: 0,
          fetchClient: async (...request) => {
            const response = await fetch(...request)
            if (!response.ok || response.body === null) return response
            onOpen?.()
            return new Response(response.body.pipeThrough(valve.body), response)
          },
        }).subscribe()
      })
      try {
        valve.open()
        for await (const { chunk } of untilAborted(stream, signal)) {
          valve.close()
          if (isIndexed(chunk)) yield chunk
          valve.open()
        }
      } finally {
        valve.open()
      }
    },

    async *changes(tag, signal) {
      await budget.take('look', signal)
      // Asks nobody yet, so it says nothing about whether Trigger.dev is there.
      const subscription = await scoped(async ({ runs }) =>
        runs.subscribeToRunsWithTag(
          tag,
          { createdAt: '2h', skipColumns: ['payload', 'output', 'metadata'] },
          { signal },
        ),
      )
      for await (const run of untilAborted(subscription, signal)) yield toSummary(run)
    },
  }
}

interface EngineRun {
  id: string
  status: Parameters<typeof toPublicStatus>[0]
  tags: string[]
  createdAt: Date
  startedAt?: Date | undefined
  finishedAt?: Date | undefined
}

function toSummary(run: EngineRun): RunSummary {
  return {
    runId: run.id,
    status: toPublicStatus(run.status),
    tags: run.tags,
    createdAt: run.createdAt,
    ...(run.startedAt === undefined ? {} : { startedAt: run.startedAt }),
    ...(run.finishedAt === undefined ? {} : { finishedAt: run.finishedAt }),
  }
}

function toSnapshot(
  run: EngineRun & { payload?: unknown; output?: unknown; error?: { message: string } | undefined },
): RunSnapshot {
  const summary = toSummary(run)
  if (summary.status === 'completed' && run.output !== undefined) {
    return { ...summary, payload: run.payload as AgentTurn, output: run.output as AgentOutput }
  }
  const payload = run.payload === undefined ? {} : { payload: run.payload as AgentTurn }
  if (summary.status !== 'failed' && summary.status !== 'completed') return { ...summary, ...payload }
  // Completed without an output: the worker's upload or the download of it failed.
  const named = run.error === undefined ? undefined : parseFailure(run.error.message)
  const errorCode = summary.status === 'completed' ? 'internal' : toFailureCode(run.status)
  return { ...summary, ...payload, status: 'failed', failureCode: named?.errorCode ?? errorCode }
}

/** The local engine says that the run belonged to a process that is gone. */
const lost = (runId: string): RunSnapshot => ({
  runId,
  status: 'failed',
  tags: [],
  createdAt: new Date(0),
  failureCode: 'worker_lost',
})

function isIndexed(value: unknown): value is IndexedChunk {
  const record = value as Partial<IndexedChunk> | null
  return (
    typeof record === 'object' && typeof record?.index === 'number' && typeof record.chunk?.type === 'string'
  )
}

/** The SDK passes its signal on, but a network that is silent can keep its iterators waiting all the same. */
async function* untilAborted<T>(source: AsyncIterable<T>, signal: AbortSignal): AsyncGenerator<T> {
  const items = source[Symbol.asyncIterator]()
  const { promise: aborted, resolve } = Promise.withResolvers<undefined>()
  const abort = () => resolve(undefined)
  signal.addEventListener('abort', abort, { once: true })
  try {
    while (!signal.aborted) {
      const next = await Promise.race([items.next(), aborted])
      if (next === undefined || next.done) return
      yield next.value
    }
  } finally {
    signal.removeEventListener('abort', abort)
    items.return?.().catch(() => {}) // Whoever reads has what they wanted.
  }
}

async function within<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
  signal.throwIfAborted()
  let abort = () => {}
  const deadline = new Promise<never>((_, reject) => {
    abort = () => reject(signal.reason)
    signal.addEventListener('abort', abort, { once: true })
  })
  try {
    return await Promise.race([work(), deadline])
  } finally {
    signal.removeEventListener('abort', abort)
  }
}
