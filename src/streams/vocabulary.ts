/** Major versions of the AI SDK whose clients may read a stream. */
export const UI_VERSIONS = [5, 6, 7] as const
export type UiVersion = (typeof UI_VERSIONS)[number]

/** The version that a query names; 6 when it names none, which clients of 7 read too. */
export const uiVersion = (text = '6'): UiVersion =>
  UI_VERSIONS.find((version) => text === String(version)) ?? 6

export type Chunk = Record<string, unknown> & { type: string }

/** Types of parts by the version that first knew them. A client ends its stream with an error on any other type. */
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

/** Parts that the worker writes for the service only. */
const PRIVATE = new Set(['data-usage'])

/**
 * The part without what a page would misread. assistant-ui takes `steps` of a message's metadata for a list, and its page
 * stops with an error at the worker's count. The poll has the count.
 */
export function withoutSteps(chunk: Chunk): Chunk {
  const metadata = chunk.messageMetadata
  if (chunk.type !== 'finish' || typeof metadata !== 'object' || metadata === null || !('steps' in metadata))
    return chunk
  const { steps: _steps, ...messageMetadata } = metadata
  return { ...chunk, messageMetadata }
}

/**
 * The part as clients of that version can read it; undefined when they cannot. Version 5 gets a denied tool call as
 * a tool error; versions before 7 get an interrupted answer as a finished one.
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
