import type { UIMessageChunk } from 'ai'
import { idOf, isDelta, textOf, withText } from '../agent/clean-chunks.ts'
import type { IndexedChunk } from '../agent/turn.ts'
import { fitChunk } from './chunk-size.ts'

/** Milliseconds that chunks are gathered for at first, and the number of records after which that time doubles. */
const WINDOW_MS = 25
const DOUBLING_EVERY = 100

export interface ChunkWriter {
  records: ReadableStream<IndexedChunk<UIMessageChunk>>
  /** Records written so far: all of them once it is closed. */
  readonly count: number
  write(chunk: UIMessageChunk): void
  close(): void
}

/**
 * Turns the chunks of a turn into numbered records. A Redis-backed stream keeps about 1,000 of them, so deltas of
 * the same block are merged within a window of time: 25 ms at first, doubled every 100 records. A text that is
 * written for 300 s without a break is some 700 records. The first chunk leaves at once.
 */
export function createChunkWriter(): ChunkWriter {
  let controller: ReadableStreamDefaultController<IndexedChunk<UIMessageChunk>> | undefined
  let waiting: UIMessageChunk[] = []
  let timer: NodeJS.Timeout | undefined
  let index = 0
  const records = new ReadableStream<IndexedChunk<UIMessageChunk>>({
    start: (given) => {
      controller = given
    },
    // Nobody reads any more: the turn goes on, its answer is in the run's output.
    cancel: () => {
      controller = undefined
    },
  })

  const flush = () => {
    for (const chunk of waiting.flatMap(fitChunk)) controller?.enqueue({ index: index++, chunk })
    waiting = []
  }
  const openWindow = () => {
    timer = setTimeout(
      () => {
        timer = undefined
        if (waiting.length === 0) return
        flush()
        openWindow()
      },
      WINDOW_MS * 2 ** Math.floor(index / DOUBLING_EVERY),
    )
  }

  return {
    records,
    get count() {
      return index
    },
    write(chunk) {
      merge(waiting, chunk)
      if (timer) return
      flush()
      openWindow()
    },
    close() {
      clearTimeout(timer)
      flush()
      controller?.close()
      controller = undefined
    },
  }
}

/** Appends a chunk; a delta joins the last one of its block when only deltas came in between. */
function merge(waiting: UIMessageChunk[], chunk: UIMessageChunk): void {
  if (isDelta(chunk)) {
    for (let at = waiting.length - 1; at >= 0; at--) {
      const earlier = waiting[at]
      if (!earlier || !isDelta(earlier)) break
      if (earlier.type !== chunk.type || idOf(earlier) !== idOf(chunk)) continue
      waiting[at] = withText(earlier, textOf(earlier) + textOf(chunk))
      return
    }
  }
  waiting.push(chunk)
}
