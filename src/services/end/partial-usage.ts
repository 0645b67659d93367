import { estimateTokens } from '../../agent/tokens.ts'
import type { AgentTurn, IndexedChunk, TurnUsage } from '../../agent/turn.ts'

/**
 * The tokens of a run that broke off: what its worker counted last, and an estimate of the step that it had begun
 * since then. Null when there is nothing to go by.
 */
export function partialUsage(chunks: IndexedChunk[], payload: AgentTurn | undefined): TurnUsage | null {
  const at = chunks.findLastIndex(({ chunk }) => chunk.type === 'data-usage')
  const counted = chunks[at]?.chunk.data as TurnUsage | undefined
  const since = chunks.slice(at + 1)
  if (!since.some(({ chunk }) => chunk.type === 'start-step')) return counted ?? null
  const asked = payload === undefined ? '' : JSON.stringify([payload.history, payload.message])
  const before = sizeOf(chunks.slice(0, at + 1))
  const inputTokens =
    (counted?.inputTokens ?? 0) + estimateTokens(asked.length + before.said + before.returned)
  const outputTokens = (counted?.outputTokens ?? 0) + estimateTokens(sizeOf(since).said)
  const model = counted?.model === undefined ? {} : { model: counted.model }
  return { inputTokens, outputTokens, totalTokens: inputTokens + outputTokens, ...model, estimated: true }
}

/** Characters that the model has said, and that its tools have returned. */
function sizeOf(chunks: IndexedChunk[]): { said: number; returned: number } {
  const inputs = new Map<unknown, number>()
  let said = 0
  let returned = 0
  for (const { chunk } of chunks) {
    const { type, toolCallId } = chunk
    if (type === 'text-delta' || type === 'reasoning-delta') said += lengthOf(chunk.delta)
    else if (type === 'tool-input-delta')
      inputs.set(toolCallId, (inputs.get(toolCallId) ?? 0) + lengthOf(chunk.inputTextDelta))
    else if (type === 'tool-input-available') inputs.set(toolCallId, lengthOf(chunk.input))
    else if (type === 'tool-output-available') returned += lengthOf(chunk.output)
  }
  for (const length of inputs.values()) said += length
  return { said, returned }
}

const lengthOf = (value: unknown): number =>
  typeof value === 'string' ? value.length : (JSON.stringify(value) ?? '').length
