import { readUIMessageStream, type UIMessage, type UIMessageChunk } from 'ai'
import type { IndexedChunk, TurnMessage } from '../agent/turn.ts'
import type { RunEngine } from '../engine/run-engine.ts'

/** What a finished run has said, as far as its stream could be read. */
export interface PartialAnswer {
  message: TurnMessage | null
  /** From the start of the stream, without a gap. */
  chunks: IndexedChunk[]
  /** Records that the stream holds; null when they are not all here. */
  frameCount: number | null
  /** Something is missing. */
  truncated: boolean
  /** Why the reading broke off before its end: the rest may be had another time. */
  cutOff?: Error
}

/** A run that never began has no stream. */
export const SILENT: PartialAnswer = { message: null, chunks: [], frameCount: 0, truncated: false }
/** Nobody could ask what there is. */
export const UNREAD: PartialAnswer = { message: null, chunks: [], frameCount: null, truncated: true }

const LAST = new Set(['finish', 'abort', 'error'])
/** The engine's network and its stream may take this long to answer at all. */
const OPEN_MS = 5_000
/** An open stream gives what it has at once. */
const FIRST_MS = 2_000
/** A stopped worker writes its last chunk within half a second; a killed one never does. */
const SILENCE_MS = 1_000
const DEADLINE_MS = 10_000

/**
 * Reads the stream of a finished run from its start until its last chunk, or until an open stream gives nothing
 * more. Never rejects: an engine that is away or slow leaves an answer that is cut off.
 */
export async function readPartialAnswer(
  engine: Pick<RunEngine, 'chunks'>,
  runId: string,
): Promise<PartialAnswer> {
  const { chunks, end } = await collect(engine, runId)
  return {
    message: await rebuild(chunks),
    chunks,
    frameCount: end === 'whole' ? chunks.length : null,
    truncated: end !== 'whole',
    ...(end instanceof Error ? { cutOff: end } : {}),
  }
}

/** How a reading ended: with all that there is, where something is missing, or before its end. */
type End = 'whole' | 'gap' | Error

async function collect(
  engine: Pick<RunEngine, 'chunks'>,
  runId: string,
): Promise<{ chunks: IndexedChunk[]; end: End }> {
  const chunks: IndexedChunk[] = []
  const stop = new AbortController()
  let end: End = 'whole'
  const stopIn = (ms: number, why: End) =>
    setTimeout(() => {
      end = why
      stop.abort()
    }, ms)
  const deadline = stopIn(DEADLINE_MS, new Error('the stream was not read to its end in time'))
  let limit = stopIn(OPEN_MS, new Error('the stream was not opened in time'))
  const listen = (ms: number) => {
    clearTimeout(limit)
    limit = stopIn(ms, 'whole')
  }
  try {
    for await (const record of engine.chunks(runId, stop.signal, () => listen(FIRST_MS))) {
      listen(SILENCE_MS)
      if (record.index < chunks.length) continue
      // Trimmed at its head, or a gap: what follows cannot be placed.
      if (record.index > chunks.length) end = 'gap'
      else chunks.push(record)
      if (end === 'gap' || LAST.has(record.chunk.type)) break
    }
  } catch (error) {
    if (!stop.signal.aborted && !isGone(error)) end = new Error('the stream broke', { cause: error })
  } finally {
    clearTimeout(deadline)
    clearTimeout(limit)
    stop.abort()
  }
  return { chunks, end }
}

/** No such stream: the run never wrote one. */
function isGone(error: unknown): boolean {
  const cause = error instanceof Error ? (error.cause as { status?: unknown } | undefined) : undefined
  return [error, cause].some((one) =>
    [400, 404, 410].includes(Number((one as { status?: unknown } | undefined)?.status)),
  )
}

async function rebuild(chunks: IndexedChunk[]): Promise<TurnMessage | null> {
  const source = ReadableStream.from(chunks.map(({ chunk }) => chunk as unknown as UIMessageChunk))
  let last: UIMessage | undefined
  for await (const message of readUIMessageStream({
    stream: source as ReadableStream<UIMessageChunk>,
    onError: () => {},
  })) {
    last = message
  }
  return last === undefined || last.parts.length === 0
    ? null
    : { id: last.id, role: 'assistant', parts: last.parts }
}
