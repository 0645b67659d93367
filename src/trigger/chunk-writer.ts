import type { UIMessageChunk } from 'ai'
import { isDelta } from '../agent/clean-chunks.ts'
import type { IndexedChunk } from '../agent/turn.ts'
import { addChunk } from './chunk-merging.ts'
import { makeRoom, owing } from './chunk-room.ts'
import { fitChunk } from './chunk-size.ts'

/**
 * Records of one stream; a Redis-backed stream keeps about 1,000. When the records written so far, and those that end
 * their open blocks and calls, reach the number of live records, all further chunks wait for the end of the stream.
 */
const MOST_RECORDS = 800
const LIVE_RECORDS = 760
/** After this many records, chunks that later ones replace are left out, and inputs of tools are written whole. */
const THRIFTY_FROM = 100
const WHOLE_INPUTS_FROM = 300

/** Milliseconds that chunks are gathered for: 25 at first, doubled every 75 records of deltas, or 150 others. */
const WINDOW_MS = 25
const DOUBLING_DELTAS = 75
const DOUBLING_OTHERS = 150
/** Deltas, and records of all kinds, after which they double every few: a run may go on for a day. */
const STEEP_FROM_DELTAS = 550
const STEEP_FROM_RECORDS = 680
const STEEP_EVERY = 4
const LONGEST_WINDOW_MS = 3_600_000

export interface ChunkWriter {
  records: ReadableStream<IndexedChunk<UIMessageChunk>>
  /** Records written so far: all of them once it is closed. */
  readonly count: number
  write(chunk: UIMessageChunk): void
  close(): void
}

/**
 * Turns the chunks of a turn into at most 800 numbered records. Deltas of the same block are merged within a
 * window of time that grows with the number of records, and with the number of blocks that are written side by
 * side. A text that is written for 300 s without a break is some 550 records. The first chunk leaves at once.
 */
export function createChunkWriter(): ChunkWriter {
  let controller: ReadableStreamDefaultController<IndexedChunk<UIMessageChunk>> | undefined
  let waiting: UIMessageChunk[] = []
  let timer: NodeJS.Timeout | undefined
  let isFull = false
  let index = 0
  let deltas = 0
  let owed = new Map<string, number>()
  const records = new ReadableStream<IndexedChunk<UIMessageChunk>>({
    start: (given) => {
      controller = given
    },
    // The stream takes no more records. The turn goes on, and its answer is in the run's output.
    cancel: () => {
      controller = undefined
    },
  })

  const put = (chunks: UIMessageChunk[]) => {
    for (const chunk of chunks) controller?.enqueue({ index: index++, chunk })
  }
  /** @returns how many of the records that it wrote are deltas */
  const flush = (): number => {
    const stays = ({ type }: UIMessageChunk) => index >= WHOLE_INPUTS_FROM && type === 'tool-input-delta'
    const held = waiting.filter(stays)
    const pieces = waiting.filter((chunk) => !stays(chunk)).flatMap(fitChunk)
    const owedThen = owing(owed, pieces)
    const reserved = [...owedThen.values()].reduce((sum, records) => sum + records, 0)
    isFull = index + pieces.length + reserved > LIVE_RECORDS
    if (isFull) return 0
    waiting = held
    owed = owedThen
    put(pieces)
    const written = pieces.filter(isDelta).length
    deltas += written
    return written
  }
  const openWindow = (written: number) => {
    if (isFull) return
    const length = windowMs(index, deltas) * Math.max(1, written)
    timer = setTimeout(
      () => {
        timer = undefined
        if (waiting.length > 0) openWindow(flush())
      },
      Math.min(length, LONGEST_WINDOW_MS),
    )
  }

  return {
    records,
    get count() {
      return index
    },
    write(chunk) {
      addChunk(waiting, chunk, index + waiting.length >= THRIFTY_FROM)
      if (timer === undefined && !isFull) openWindow(flush())
    },
    close() {
      clearTimeout(timer)
      put(makeRoom(waiting, MOST_RECORDS - index))
      waiting = []
      controller?.close()
      controller = undefined
    },
  }
}

function windowMs(records: number, deltas: number): number {
  const steep = Math.max(0, deltas - STEEP_FROM_DELTAS) + Math.max(0, records - STEEP_FROM_RECORDS)
  const doublings = deltas / DOUBLING_DELTAS + (records - deltas) / DOUBLING_OTHERS + steep / STEEP_EVERY
  return WINDOW_MS * 2 ** Math.floor(doublings)
}
