/** Major versions of the AI SDK whose clients may read a stream. */
export const UI_VERSIONS = [5, 6, 7] as const
export type UiVersion = (typeof UI_VERSIONS)[number]

/** 7 reads what is meant for 6. */
export const uiVersion = (text = '6'): UiVersion =>
  UI_VERSIONS.find((version) => text === String(version)) ?? 6

export type Chunk = Record<string, unknown> & { type: string }

/** Parts by the version that first knew them. A client ends its stream with an error on any other. */
const SINCE_5 = `start finish abort error message-metadata start-step finish-step
  text-start text-delta text-end reasoning-start reasoning-delta reasoning-end
  tool-input-start tool-input-delta tool-input-available tool-input-error
  tool-output-available tool-output-error source-url source-document file`
const SINCE_6 = 'tool-approval-request tool-output-denied'
const SINCE_7 = 'tool-approval-response custom reasoning-file steering-message reset-step'

const words = (list: string) => list.split(/\s+/)
const KNOWN: Record<UiVersion, Set<string>> = {
  5: new Set(words(SINCE_5)),
  6: new Set(words(`${SINCE_5} ${SINCE_6}`)),
  7: new Set(words(`${SINCE_5} ${SINCE_6} ${SINCE_7}`)),
}

/** What the worker tells the service alone. */
const PRIVATE = new Set(['data-usage'])

/**
 * The part as clients of that version may read it; undefined when they must not see it. A denied tool call is an
 * error to version 5, and an interrupted answer a finished one to all before 7.
 */
export function translate(chunk: Chunk, ui: UiVersion): Chunk | undefined {
  if (PRIVATE.has(chunk.type)) return undefined
  if (chunk.type.startsWith('data-')) return chunk
  if (chunk.type === 'tool-output-denied' && ui < 6)
    return { type: 'tool-output-error', toolCallId: chunk.toolCallId, errorText: 'The tool call was denied.' }
  if (!KNOWN[ui].has(chunk.type)) return undefined
  if (chunk.type === 'finish' && chunk.finishReason === 'interrupted' && ui < 7)
    return { ...chunk, finishReason: 'other' }
  return chunk
}
