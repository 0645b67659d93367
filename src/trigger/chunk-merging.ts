import type { UIMessageChunk } from 'ai'
import { type Delta, isDelta, textOf, withText } from '../agent/clean-chunks.ts'

/**
 * Appends a chunk to the waiting ones; a delta joins the last delta of its block. With `thrifty`, waiting chunks that
 * the new chunk replaces are left out. The message that a reader builds from the chunks stays the same.
 */
export function addChunk(waiting: UIMessageChunk[], chunk: UIMessageChunk, thrifty: boolean): void {
  if (isDelta(chunk)) addDelta(waiting, chunk)
  else if (thrifty) addThriftily(waiting, chunk)
  else waiting.push(chunk)
}

function addDelta(waiting: UIMessageChunk[], chunk: Delta): void {
  const at = waiting.findLastIndex((earlier) => blockOf(earlier) === blockOf(chunk))
  const earlier = waiting[at]
  if (earlier === undefined || !isDelta(earlier)) waiting.push(chunk)
  else waiting[at] = withText({ ...earlier, ...chunk }, textOf(earlier) + textOf(chunk))
}

function addThriftily(waiting: UIMessageChunk[], chunk: UIMessageChunk): void {
  for (const superfluous of waiting.filter((earlier) => replaces(chunk, earlier)))
    waiting.splice(waiting.indexOf(superfluous), 1)
  const start = waiting.findIndex((earlier) => begins(earlier, chunk))
  // The place of the start is that of the part in the message.
  if (start < 0) waiting.push(chunk)
  else waiting[start] = { ...waiting[start], ...chunk }
}

/** The block that a chunk begins, continues or ends; its id is used again once it has ended. */
export function blockOf(chunk: UIMessageChunk): string | undefined {
  const [, kind] = /^(text|reasoning|tool-input)-(?!file)/.exec(chunk.type) ?? []
  if (kind === undefined) return undefined
  return `${kind} ${'toolCallId' in chunk ? chunk.toolCallId : 'id' in chunk ? chunk.id : ''}`
}

function replaces(chunk: UIMessageChunk, earlier: UIMessageChunk): boolean {
  // Each of these chunks holds the whole usage so far, so the newest one replaces the others.
  if (chunk.type === 'data-usage') return earlier.type === 'data-usage'
  if (!('toolCallId' in chunk && 'toolCallId' in earlier && chunk.toolCallId === earlier.toolCallId))
    return false
  return earlier.type === 'tool-input-delta'
    ? chunk.type === 'tool-input-available' || chunk.type === 'tool-input-error'
    : chunk.type.startsWith('tool-output-') &&
        earlier.type === 'tool-output-available' &&
        earlier.preliminary === true
}

function begins(earlier: UIMessageChunk, chunk: UIMessageChunk): boolean {
  return (
    chunk.type === 'tool-input-available' &&
    earlier.type === 'tool-input-start' &&
    earlier.toolCallId === chunk.toolCallId
  )
}
