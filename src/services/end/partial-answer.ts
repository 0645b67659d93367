import { createUIMessageStream, type UIMessage, type UIMessageChunk } from 'ai'
import type { IndexedChunk, TurnMessage } from '../../agent/turn.ts'
import { isGone } from '../../engine/engine-error.ts'
import type { ReadOptions, RunEngine } from '../../engine/run-engine.ts'

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
 * Reads the stream of a finished run from its start until its last chunk; where a killed worker has written none,
 * until two readings find the same. Never rejects: an engine that is away or slow leaves an answer that is cut off.
 */
export async function readPartialAnswer(
  engine: Pick<RunEngine, 'chunks'>,
  runId: string,
  kind: CallKind = 'look',
): Promise<PartialAnswer> {
  const { chunks, end } = await readTwice(engine, runId, kind)
  return {
    message: await rebuild(chunks),
    chunks,
    frameCount: end === 'whole' ? chunks.length : null,
    truncated: end !== 'whole',
    ...(end instanceof Error ? { cutOff: end } : {}),
  }
}

/** How a reading ended: with all that there is, perhaps so, where something is missing, or before its end. */
type End = 'whole' | 'silence' | 'gap' | Error

interface Reading {
  chunks: IndexedChunk[]
  end: End
}

type CallKind = NonNullable<ReadOptions['kind']>

/** A connection that hangs in the middle looks like the end; another one does not hang at the same place. */
async function readTwice(engine: Pick<RunEngine, 'chunks'>, runId: string, kind: CallKind): Promise<Reading> {
  const deadline = performance.now() + DEADLINE_MS
  let last = await collect(engine, runId, kind, deadline)
  while (last.end === 'silence') {
    const again = await collect(engine, runId, kind, deadline)
    const more = again.chunks.length - last.chunks.length
    if (again.end === 'silence' && more === 0) return { ...last, end: 'whole' }
    // What was there before is still said, though the engine may have dropped it meanwhile.
    last = more < 0 ? { chunks: last.chunks, end: again.end === 'whole' ? 'gap' : again.end } : again
  }
  return last
}

async function collect(
  engine: Pick<RunEngine, 'chunks'>,
  runId: string,
  kind: CallKind,
  until: number,
): Promise<Reading> {
  const chunks: IndexedChunk[] = []
  const stop = new AbortController()
  let end: End = 'silence'
  const stopIn = (ms: number, why: End) =>
    setTimeout(() => {
      end = why
      stop.abort()
    }, ms)
  const deadline = stopIn(until - performance.now(), new Error('the stream was not read to its end in time'))
  let limit = stopIn(OPEN_MS, new Error('the stream was not opened in time'))
  const listen = (ms: number) => {
    clearTimeout(limit)
    limit = stopIn(ms, 'silence')
  }
  try {
    for await (const record of engine.chunks(runId, stop.signal, { onOpen: () => listen(FIRST_MS), kind })) {
      listen(SILENCE_MS)
      if (record.index < chunks.length) continue
      // Trimmed at its head, or a gap: what follows cannot be placed.
      if (record.index > chunks.length) end = 'gap'
      else chunks.push(record)
      if (LAST.has(record.chunk.type)) end = 'whole'
      if (end !== 'silence') break
    }
  } catch (error) {
    // The run never wrote one.
    if (isGone(error)) end = 'whole'
    else if (!stop.signal.aborted) end = new Error('the stream broke', { cause: error })
  } finally {
    clearTimeout(deadline)
    clearTimeout(limit)
    stop.abort()
  }
  return { chunks, end }
}

/**
 * The message that the chunks make, without those that the SDK does not take. It is what a stream of the SDK keeps for
 * its end; the SDK's reader makes a copy after every chunk, which takes half a minute where tools returned much.
 */
async function rebuild(chunks: IndexedChunk[]): Promise<TurnMessage | null> {
  let message: UIMessage | undefined
  const source = new TransformStream<UIMessageChunk, UIMessageChunk>()
  const sink = source.writable.getWriter()
  const built = createUIMessageStream({
    execute: ({ writer }) => writer.merge(source.readable),
    generateId: () => '',
    onEnd: ({ responseMessage }) => {
      message = responseMessage
    },
  }).getReader()
  for (const [at, { chunk }] of chunks.entries()) {
    sink.write(chunk as unknown as UIMessageChunk).catch(() => {})
    const isTaken = await built.read().then(
      () => true,
      () => false,
    )
    if (!isTaken) return rebuild(chunks.toSpliced(at, 1))
  }
  await sink.close()
  await built.read()
  return message === undefined || message.parts.length === 0
    ? null
    : { id: message.id, role: 'assistant', parts: message.parts }
}
