import { createUIMessageStream, type UIMessage, type UIMessageChunk } from 'ai'
import type { IndexedChunk, TurnMessage } from '../../agent/turn.ts'
import { isGone } from '../../engine/engine-error.ts'
import type { ReadOptions, RunEngine } from '../../engine/run-engine.ts'

/** The part of an ended run's answer that could be read from its stream. */
export interface PartialAnswer {
  message: TurnMessage | null
  /** The chunks from the start of the stream up to the first gap. */
  chunks: IndexedChunk[]
  /** Number of records in the stream; null when not all of them could be read. */
  frameCount: number | null
  /** Whether chunks of the stream are missing. */
  truncated: boolean
  /** Why the reading broke off. A later reading may find the rest. */
  cutOff?: Error
}

/** The answer of a run that never began. Such a run has no stream. */
export const SILENT: PartialAnswer = { message: null, chunks: [], frameCount: 0, truncated: false }
/** The answer of a run whose stream was not read. */
export const UNREAD: PartialAnswer = { message: null, chunks: [], frameCount: null, truncated: true }

const LAST = new Set(['finish', 'abort', 'error'])
/** The engine may take this long to open a stream. */
const OPEN_MS = 5_000
/**
 * Silence after which a reading ends. An open stream sends its records at once, and a stopped worker writes its last
 * chunk within half a second. A killed worker writes none. Two silent readings fit into the 3 s of a cancel.
 */
const SILENCE_MS = 1_000
const DEADLINE_MS = 10_000

/**
 * Reads the stream of an ended run from its start to its last chunk. A killed worker has written no last chunk. Then the
 * stream counts as complete when two readings find the same chunks. Never rejects. When the engine is away or slow, the
 * result has `cutOff`.
 * @param before for the run of a continuation: the answer that the earlier runs of its chain have written
 */
export async function readPartialAnswer(
  engine: Pick<RunEngine, 'chunks'>,
  runId: string,
  purpose: CallPurpose = 'read',
  before?: TurnMessage,
): Promise<PartialAnswer> {
  const { chunks, end } = await readTwice(engine, runId, purpose)
  return {
    message: await rebuild(chunks, before),
    chunks,
    frameCount: end === 'whole' ? chunks.length : null,
    truncated: end !== 'whole',
    ...(end instanceof Error ? { cutOff: end } : {}),
  }
}

/**
 * How a reading ended: with the last chunk (`whole`), with silence, which may be the end (`silence`), before a missing
 * chunk (`gap`), or with a failure.
 */
type End = 'whole' | 'silence' | 'gap' | Error

interface Reading {
  chunks: IndexedChunk[]
  end: End
}

type CallPurpose = NonNullable<ReadOptions['purpose']>

/** Reads again after a silence, because a connection that hangs looks like the end of the stream. */
async function readTwice(
  engine: Pick<RunEngine, 'chunks'>,
  runId: string,
  purpose: CallPurpose,
): Promise<Reading> {
  const deadline = performance.now() + DEADLINE_MS
  let last = await collect(engine, runId, purpose, deadline)
  while (last.end === 'silence') {
    const again = await collect(engine, runId, purpose, deadline)
    const more = again.chunks.length - last.chunks.length
    if (again.end === 'silence' && more === 0) return { ...last, end: 'whole' }
    // The engine has dropped chunks between the two readings, so the chunks of the first reading are kept.
    last = more < 0 ? { chunks: last.chunks, end: again.end === 'whole' ? 'gap' : again.end } : again
  }
  return last
}

async function collect(
  engine: Pick<RunEngine, 'chunks'>,
  runId: string,
  purpose: CallPurpose,
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
  const listen = () => {
    clearTimeout(limit)
    limit = stopIn(SILENCE_MS, 'silence')
  }
  try {
    for await (const record of engine.chunks(runId, stop.signal, { onOpen: listen, purpose })) {
      listen()
      if (record.index < chunks.length) continue
      // Chunks are missing at the start of the stream or within it. Later chunks cannot be used without them.
      if (record.index > chunks.length) end = 'gap'
      else chunks.push(record)
      if (LAST.has(record.chunk.type)) end = 'whole'
      if (end !== 'silence') break
    }
  } catch (error) {
    // The engine has no such stream, because the run never wrote a chunk.
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
 * Builds the message of the chunks, and leaves out chunks that the SDK refuses. It uses the message that an SDK stream
 * hands to `onEnd`. The SDK's own reader of messages copies the whole message after every chunk: that takes half a
 * minute when tools returned large results.
 */
async function rebuild(chunks: IndexedChunk[], before?: TurnMessage): Promise<TurnMessage | null> {
  let message: UIMessage | undefined
  const source = new TransformStream<UIMessageChunk, UIMessageChunk>()
  const sink = source.writable.getWriter()
  const built = createUIMessageStream({
    execute: ({ writer }) => writer.merge(source.readable),
    generateId: () => '',
    ...(before === undefined ? {} : { originalMessages: [before] }),
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
    if (!isTaken) return rebuild(chunks.toSpliced(at, 1), before)
  }
  await sink.close()
  await built.read()
  return message === undefined || message.parts.length === 0
    ? null
    : { id: message.id, role: 'assistant', parts: message.parts }
}
