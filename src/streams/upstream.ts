import { setTimeout as sleep } from 'node:timers/promises'
import { isGone } from '../engine/engine-error.ts'
import type { RunEngine } from '../engine/run-engine.ts'
import { frameOf } from './frame.ts'
import type { FrameLog } from './frame-log.ts'

const FIRST_PAUSE_MS = 100
const LONGEST_PAUSE_MS = 2_000
/** Time that a full log waits for its viewers. A viewer that does not read is cut earlier. */
const ROOM_MS = 120_000

/** A worker's stream ends with one of these chunks, for every outcome of the turn. */
export const isLast = (type: string | undefined): boolean =>
  type === 'finish' || type === 'error' || type === 'abort'

/**
 * Copies a run's stream into the log until its last chunk, or until the log has all frames of the run. Every record
 * has to be the next one: after a gap, a broken read or a silence the stream is read again from its start. The ids
 * of the engine's stream backend are not used.
 * @param onRead called for every read that is opened
 * @returns false when the engine no longer keeps what comes next; true at the end, or when `signal` aborts
 */
export async function readUpstream(
  engine: Pick<RunEngine, 'chunks'>,
  runId: string,
  log: FrameLog,
  signal: AbortSignal,
  onRead: () => void,
): Promise<boolean> {
  let gapAt: number | undefined
  for (let pause = FIRST_PAUSE_MS; !signal.aborted; pause = Math.min(2 * pause, LONGEST_PAUSE_MS)) {
    const before = log.end
    onRead()
    // Errors are retried. Whether missing frames matter is decided in `followRun`, which knows the run's status.
    const outcome = await readOnce(engine, runId, log, signal).catch((error) =>
      isGone(error) ? 'gone' : 'silence',
    )
    if (outcome === 'end' || signal.aborted) return true
    log.answer(outcome === 'gone')
    if (outcome === 'trimmed' || (outcome === 'gap' && gapAt === log.end)) return false
    if (outcome === 'gap') gapAt = log.end
    if (log.end > before) pause = FIRST_PAUSE_MS
    await sleep(pause, undefined, { signal }).catch(() => {})
  }
  return true
}

async function readOnce(
  engine: Pick<RunEngine, 'chunks'>,
  runId: string,
  log: FrameLog,
  signal: AbortSignal,
): Promise<'end' | 'silence' | 'trimmed' | 'gap'> {
  let isFirst = true
  for await (const record of engine.chunks(runId, signal, { onOpen: () => log.answer(true) })) {
    if (log.complete) return 'end'
    if (record.index > log.end) return isFirst ? 'trimmed' : 'gap'
    isFirst = false
    if (record.index < log.end) continue
    log.append(frameOf(record))
    if (log.complete || isLast(record.chunk.type)) return 'end'
    if (log.full) await log.until(() => !log.full, ROOM_MS, signal)
  }
  return 'silence'
}
