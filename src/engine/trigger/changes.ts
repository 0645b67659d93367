import { isChangeMessage, isControlMessage, type Message, ShapeStream } from '@electric-sql/client'
import type { RunSummary } from '../run-engine.ts'
import { isFinished, ofFeed } from '../run-status.ts'
import type { EngineCalls } from './calls.ts'
import { untilAborted } from './iterators.ts'
import type { RunReader } from './mapping.ts'
import { clientOf, type Scope } from './sdk.ts'

/** Greatest age of a run that a new subscription reports. The sweeper finds the ends of older runs. */
const WINDOW = '20m'
/** Trigger.dev answers a long poll after 20 s at the latest. */
const LONGEST_POLL_MS = 60_000
/** Columns that the feed leaves out, because the service does not read them. */
const SKIPPED = [
  'payload',
  'payloadType',
  'output',
  'outputType',
  'metadata',
  'error',
  'delayUntil',
  'queuedAt',
  'expiredAt',
  'ttl',
  'number',
  'usageDurationMs',
  'costInCents',
  'baseCostInCents',
]

type Row = Record<string, unknown>

/**
 * Every change of the runs with a tag; see `RunEngine.changes`. The SDK's own subscription keeps every row that it has
 * seen, so this one reads the feed below it and keeps the rows of unfinished runs alone.
 */
export async function* readChanges(
  calls: EngineCalls,
  scope: Scope,
  reader: RunReader,
  tag: string,
  signal: AbortSignal,
): AsyncGenerator<RunSummary> {
  await calls.budget.take('read', { signal })
  const client = await clientOf(scope)
  const query = new URLSearchParams({ tags: tag, createdAt: WINDOW, skipColumns: SKIPPED.join(',') })
  const left = new AbortController()
  const rows = feedRows(reader)
  const changes = new ReadableStream<RunSummary>({
    start(controller) {
      const feed = new ShapeStream<Row>({
        url: `${client.baseUrl}/realtime/v1/runs?${query}`,
        headers: {
          ...client.getHeaders('subscribeToRunsWithTag'),
          'x-trigger-electric-version': '1.0.0-beta.1',
        },
        signal: left.signal,
        // The feed repeats by itself what fails. Its long polls cost nothing, but they too wait when the engine wants
        // to be left alone.
        fetchClient: async (url, init) => {
          await calls.budget.opened(left.signal)
          const leaves = init?.signal ?? left.signal
          const signal = AbortSignal.any([leaves, AbortSignal.timeout(LONGEST_POLL_MS)])
          return calls.watch(() => fetch(url, { ...init, signal }), leaves)
        },
        onError: (error) => {
          if (!left.signal.aborted) controller.error(error)
        },
      })
      feed.subscribe((messages) => {
        for (const run of rows.changed(messages)) if (!left.signal.aborted) controller.enqueue(run)
      })
    },
    cancel: () => left.abort(),
  })
  try {
    yield* untilAborted(changes, signal)
  } catch (error) {
    throw calls.problemOf('changes', error)
  } finally {
    left.abort()
  }
}

/** The rows behind the messages of the feed. A message holds a whole row, or the columns of a row that have changed. */
function feedRows(reader: RunReader) {
  const unfinished = new Map<string, Row>()

  /** @returns undefined when the run had ended before, or when its row cannot be read */
  function changed(key: string, columns: Row): RunSummary | undefined {
    const row = { ...unfinished.get(key), ...columns }
    unfinished.delete(key)
    if (row.friendlyId === undefined) return undefined
    const run = reader.summary(toRun(row))
    if (run !== undefined && !isFinished(run.status)) unfinished.set(key, row)
    return run
  }

  return {
    /** The last state of each run that the messages mention. */
    changed(messages: Message<Row>[]): Iterable<RunSummary> {
      const last = new Map<string, RunSummary>()
      for (const message of messages) {
        if (isControlMessage(message) && message.headers.control === 'must-refetch') unfinished.clear()
        if (!isChangeMessage(message) || message.headers.operation === 'delete') continue
        const run = changed(message.key, message.value)
        if (run !== undefined) last.set(run.runId, run)
      }
      return last.values()
    },
  }
}

/** A row of the feed in the form of the API. */
const toRun = ({ friendlyId, status, runTags, createdAt, startedAt, completedAt }: Row) => ({
  id: friendlyId,
  status: ofFeed(status),
  tags: runTags,
  createdAt: inUtc(createdAt),
  startedAt: inUtc(startedAt),
  finishedAt: inUtc(completedAt),
})

/** The feed writes times as Postgres does, without a zone. */
const inUtc = (time: unknown): unknown => (typeof time === 'string' ? `${time.replace(' ', 'T')}Z` : time)
