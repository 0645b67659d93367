import type { UIMessageChunk } from 'ai'
import { isDelta, textOf } from '../agent/clean-chunks.ts'
import { blockOf } from './chunk-merging.ts'
import { fitChunk } from './chunk-size.ts'

/**
 * The chunks that end a stream, as at most `room` records. If there are more, chunks are left out in this order: ends
 * of steps, then tool calls, oldest first (the run's output has them all), then the borders between texts. The texts
 * and the last chunk stay.
 */
export function makeRoom(chunks: UIMessageChunk[], room: number): UIMessageChunk[] {
  const pieces = [withoutStepEnds, withoutCalls, withoutBorders]
    .reduce((fitted, without) => (fitted.length > room ? without(fitted, room) : fitted), chunks)
    .flatMap(fitChunk)
  return pieces.length > room ? [...pieces.slice(0, room - 1), ...pieces.slice(-1)] : pieces
}

const OWED: Partial<Record<UIMessageChunk['type'], number>> = {
  'text-start': 2,
  'reasoning-start': 2,
  'tool-input-start': 2,
  'tool-input-available': 1,
}

/**
 * Records that are needed to end what has begun, by block and call: the rest of a block and its end, the input of a
 * call and its result.
 */
export function owing(before: Map<string, number>, chunks: UIMessageChunk[]): Map<string, number> {
  const owed = new Map(before)
  for (const chunk of chunks) {
    const id = callOf(chunk) ?? blockOf(chunk)
    if (id === undefined || isDelta(chunk)) continue
    const records = OWED[chunk.type]
    if (records === undefined) owed.delete(id)
    else owed.set(id, records)
  }
  return owed
}

function withoutStepEnds(chunks: UIMessageChunk[]): UIMessageChunk[] {
  return chunks.filter(({ type }) => type !== 'finish-step')
}

/** Leaves out whole calls whose begin is not written yet, and then the results of calls that viewers see. */
function withoutCalls(chunks: UIMessageChunk[], room: number): UIMessageChunk[] {
  const begun = chunks.filter(({ type }) => type === 'tool-input-start' || type === 'tool-input-available')
  let kept = chunks
  for (const id of new Set([...begun, ...chunks].map(callOf))) {
    if (kept.length <= room) break
    if (id !== undefined) kept = kept.filter((chunk) => callOf(chunk) !== id)
  }
  return kept
}

const callOf = (chunk: UIMessageChunk) => ('toolCallId' in chunk ? chunk.toolCallId : undefined)

function withoutBorders(chunks: UIMessageChunk[]): UIMessageChunk[] {
  const parts = chunks.filter(({ type }) => type !== 'start-step')
  return asOneBlock(asOneBlock(parts, 'reasoning'), 'text')
}

/** Merges all blocks of one type into the first of them. */
function asOneBlock(chunks: UIMessageChunk[], kind: 'text' | 'reasoning'): UIMessageChunk[] {
  const types: string[] = [`${kind}-start`, `${kind}-delta`, `${kind}-end`]
  const own = chunks.filter((chunk): chunk is Block => types.includes(chunk.type))
  const [first] = own
  if (first === undefined) return chunks
  const text = own.map((chunk) => (isDelta(chunk) ? textOf(chunk) : '')).join('')
  const block: UIMessageChunk[] = [
    ...(first.type === `${kind}-start` ? [first] : []),
    { type: `${kind}-delta`, id: first.id, delta: text },
    ...own
      .slice(-1)
      .filter(({ type }) => type === `${kind}-end`)
      .map((end) => ({ ...end, id: first.id })),
  ]
  return chunks.flatMap((chunk) => (chunk === first ? block : types.includes(chunk.type) ? [] : [chunk]))
}

type Block = Extract<UIMessageChunk, { type: `${'text' | 'reasoning'}-${'start' | 'delta' | 'end'}` }>
