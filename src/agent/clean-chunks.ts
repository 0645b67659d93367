import type { UIMessageChunk } from 'ai'
import { cleanJson, cleanText, isHighSurrogate } from './clean.ts'

export type Delta = Extract<UIMessageChunk, { type: 'text-delta' | 'reasoning-delta' | 'tool-input-delta' }>

const LAST = new Set(['finish-step', 'finish', 'abort', 'error'])

/**
 * Cleans the chunks of one stream. A surrogate pair may be split over two deltas of a block, so the cleaner holds back
 * the first half until the second half arrives, or the block ends. Chunks of other blocks pass meanwhile.
 */
export function createChunkCleaner(): (chunk: UIMessageChunk) => UIMessageChunk[] {
  const held = new Map<string, Delta>()

  const release = (chunk: UIMessageChunk) =>
    [...held].flatMap(([key, half]) => {
      if (!LAST.has(chunk.type) && !isOfBlock(chunk, half)) return []
      held.delete(key)
      return [cleaned(half, textOf(half))]
    })

  const cleanDelta = (chunk: Delta) => {
    const key = `${chunk.type} ${idOf(chunk)}`
    const half = held.get(key)
    const text = (half ? textOf(half) : '') + textOf(chunk)
    held.delete(key)
    if (!isHighSurrogate(text.charCodeAt(text.length - 1))) return [cleaned(chunk, text)]
    held.set(key, withText(chunk, text.slice(-1)))
    return text.length > 1 ? [cleaned(chunk, text.slice(0, -1))] : []
  }

  return (chunk) => (isDelta(chunk) ? cleanDelta(chunk) : [...release(chunk), cleanJson(chunk)])
}

function isOfBlock(chunk: UIMessageChunk, delta: Delta): boolean {
  const id = 'toolCallId' in chunk ? chunk.toolCallId : 'id' in chunk ? chunk.id : undefined
  return chunk.type.startsWith(delta.type.replace(/delta$/, '')) && id === idOf(delta)
}

function cleaned(chunk: Delta, text: string): Delta {
  return withText(chunk, cleanText(text))
}

export function isDelta(chunk: UIMessageChunk): chunk is Delta {
  return chunk.type === 'text-delta' || chunk.type === 'reasoning-delta' || chunk.type === 'tool-input-delta'
}

export function idOf(chunk: Delta): string {
  return chunk.type === 'tool-input-delta' ? chunk.toolCallId : chunk.id
}

export function textOf(chunk: Delta): string {
  return chunk.type === 'tool-input-delta' ? chunk.inputTextDelta : chunk.delta
}

export function withText(chunk: Delta, text: string): Delta {
  return chunk.type === 'tool-input-delta' ? { ...chunk, inputTextDelta: text } : { ...chunk, delta: text }
}
