import { setTimeout as delay } from 'node:timers/promises'
import { failureOfOutput } from '../agent/failure.ts'
import type { AgentTurn, HistoryMessage, KeptWindow, TurnMessage } from '../agent/turn.ts'
import { within } from './deadline.ts'
import { readWindow } from './window-ahead.ts'

/** The fields of a run that the runs behind it need. */
export interface AheadRun {
  /** Trigger.dev's status. */
  status: string
  payload?: unknown
  output?: unknown
}

/** The two questions to the engine. Both calls end when the signal aborts. */
export interface AheadEngine {
  retrieve(runId: string): Promise<AheadRun>
  /** The records of the run's stream so far. */
  chunks(runId: string, signal: AbortSignal): AsyncIterable<unknown>
}

export interface AheadHistory {
  /** The messages of each run, in the order of the runs; an empty list for a run that could not be read. */
  turns: HistoryMessage[][]
  /** Whether a run had not ended, or could not be read, in time. */
  incomplete: boolean
  /** What the newest run that has kept something for later prompts has kept. */
  window?: KeptWindow
}

export interface AheadLimits {
  /** Milliseconds that the worker waits for unfinished runs, in all. */
  waitMs: number
  /** Milliseconds between two reads of an unfinished run. */
  pollMs: number
  /** Milliseconds for one call, and for reading one stream. */
  callMs: number
}

const LIMITS: AheadLimits = { waitMs: 5000, pollMs: 250, callMs: 3000 }
const UNFINISHED = new Set(['PENDING_VERSION', 'DELAYED', 'QUEUED', 'DEQUEUED', 'EXECUTING', 'WAITING'])

/**
 * Reads the turns of the runs that were ahead of this run at its start. The worker has no database, so it asks the
 * engine. The answer of a failed or cancelled run is read from its stream. Runs that cannot be read in time are left
 * out, so that they cannot stop this turn.
 */
export async function readAhead(
  runIds: string[],
  engine: AheadEngine,
  signal: AbortSignal,
  limits: AheadLimits = LIMITS,
): Promise<AheadHistory> {
  const deadline = Date.now() + limits.waitMs
  const turns = await Promise.all(runIds.map((runId) => readTurn(runId, engine, signal, limits, deadline)))
  const window = turns.findLast((turn) => turn?.window !== undefined)?.window
  return {
    turns: turns.map((turn) => turn?.messages ?? []),
    incomplete: turns.includes(undefined),
    ...(window === undefined ? {} : { window }),
  }
}

/**
 * The history with the turns ahead in their places.
 * @param places how many messages of the history stand before each turn, ascending; all of them when absent
 */
export function withAhead(
  history: HistoryMessage[],
  turns: HistoryMessage[][],
  places: number[] = [],
): HistoryMessage[] {
  const merged: HistoryMessage[] = []
  let from = 0
  turns.forEach((turn, n) => {
    const to = places[n] ?? history.length
    merged.push(...history.slice(from, to), ...turn)
    from = to
  })
  return [...merged, ...history.slice(from)]
}

interface AheadTurn {
  messages: HistoryMessage[]
  window?: KeptWindow | undefined
}

async function readTurn(
  runId: string,
  engine: AheadEngine,
  signal: AbortSignal,
  limits: AheadLimits,
  deadline: number,
): Promise<AheadTurn | undefined> {
  const run = await ended(runId, engine, signal, limits, deadline)
  const message = readMessage((run?.payload as AgentTurn | undefined)?.message)
  if (!run || !message) return undefined
  if (run.status === 'COMPLETED' && failureOfOutput(run.output) === undefined) {
    const answer = readMessage((run.output as { uiMessage?: unknown } | undefined)?.uiMessage)
    return answer && { messages: [message, answer], window: readWindow(run.output) }
  }
  const text = await partialText(runId, engine, signal, limits.callMs)
  const id = (run.payload as AgentTurn).assistantMessageId
  const parts: TurnMessage['parts'] = text ? [{ type: 'text', text }] : []
  const status = run.status === 'CANCELED' ? 'cancelled' : 'failed'
  return { messages: [message, { id, role: 'assistant', parts, status }] }
}

/**
 * The run once it is over; `undefined` when it is not by the deadline, or unknown to the engine. A call that fails
 * is made again until then.
 */
async function ended(
  runId: string,
  engine: AheadEngine,
  signal: AbortSignal,
  { callMs, pollMs }: AheadLimits,
  deadline: number,
): Promise<AheadRun | undefined> {
  try {
    for (;;) {
      const ms = Math.min(callMs, deadline - Date.now())
      const run = await within(ms, signal, () => engine.retrieve(runId)).catch((error: unknown) => {
        if (isUnknown(error)) throw error
      })
      if (run !== undefined && !UNFINISHED.has(run.status)) return run
      if (Date.now() + pollMs > deadline) return undefined
      await delay(pollMs, undefined, { signal })
    }
  } catch {
    return undefined
  }
}

const isUnknown = (error: unknown): boolean => (error as { status?: unknown } | undefined)?.status === 404

/** All text that the run's stream shows; reading ends with the last chunk of a sealed stream, or with the time. */
async function partialText(
  runId: string,
  engine: AheadEngine,
  signal: AbortSignal,
  ms: number,
): Promise<string> {
  let text = ''
  let next = 0
  const read = async (limit: AbortSignal) => {
    for await (const record of engine.chunks(runId, limit)) {
      const { index, chunk } = (record ?? {}) as {
        index?: number
        chunk?: { type?: string; delta?: unknown }
      }
      // A writer that lost its connection may send records twice.
      if (typeof index !== 'number' || index < next) continue
      next = index + 1
      if (chunk?.type === 'text-delta' && typeof chunk.delta === 'string') text += chunk.delta
      if (chunk?.type && ['finish', 'abort', 'error'].includes(chunk.type)) return
    }
  }
  try {
    await within(ms, signal, read)
  } catch {
    // The stream broke: the text that was read before is kept.
  }
  return text
}

/** A message of another worker's making: only its outline is checked, the prompt is built to bear the rest. */
function readMessage(value: unknown): TurnMessage | undefined {
  const message = value as Partial<TurnMessage> | undefined
  return typeof message?.id === 'string' && message.role && Array.isArray(message.parts)
    ? (message as TurnMessage)
    : undefined
}
