import { readUIMessageStream, type UIMessage, type UIMessageChunk } from 'ai'
import type { IndexedChunk, TurnMessage, TurnUsage } from '../agent/turn.ts'
import type { RunEngine } from '../engine/run-engine.ts'

/** What a run that did not complete had said, as its stream tells. */
export interface PartialAnswer {
  message: TurnMessage | null
  usage: TurnUsage | null
  /** Records read; null when the engine no longer has the beginning. */
  frameCount: number | null
  truncated: boolean
}

const LAST = new Set(['finish', 'abort', 'error'])
/** A stopped worker writes its last chunk within half a second; a killed one never does. */
const SILENCE_MS = 1_000
/** The first record comes when the stream is open, which takes a slow network a while. */
const FIRST_MS = 2_000
const DEADLINE_MS = 5_000

/**
 * Reads the stream of a finished run from its start until its last chunk, or until nothing comes any more.
 * Rejects only when the engine is away.
 */
export async function readPartialAnswer(engine: RunEngine, runId: string): Promise<PartialAnswer> {
  const { chunks, truncated } = await collect(engine, runId)
  const usage = chunks.findLast(({ chunk }) => chunk.type === 'data-usage')?.chunk.data as
    | TurnUsage
    | undefined
  return {
    message: await rebuild(chunks),
    usage: usage ?? null,
    frameCount: truncated ? null : chunks.length,
    truncated,
  }
}

async function collect(
  engine: RunEngine,
  runId: string,
): Promise<{ chunks: IndexedChunk[]; truncated: boolean }> {
  const stop = new AbortController()
  const deadline = setTimeout(() => stop.abort(), DEADLINE_MS)
  let silence = setTimeout(() => stop.abort(), FIRST_MS)
  const chunks: IndexedChunk[] = []
  try {
    for await (const record of engine.chunks(runId, stop.signal)) {
      clearTimeout(silence)
      silence = setTimeout(() => stop.abort(), SILENCE_MS)
      if (record.index < chunks.length) continue
      // Trimmed at its head, or a gap: what follows cannot be placed.
      if (record.index > chunks.length) return { chunks, truncated: true }
      chunks.push(record)
      if (LAST.has(record.chunk.type)) break
    }
  } catch (error) {
    if (!stop.signal.aborted && !isGone(error)) throw error
  } finally {
    clearTimeout(deadline)
    clearTimeout(silence)
    stop.abort()
  }
  return { chunks, truncated: false }
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
