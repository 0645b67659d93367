import { type Static, Type } from '@sinclair/typebox'
import { TypeCompiler } from '@sinclair/typebox/compiler'
import { estimateTokens } from '../../agent/tokens.ts'
import type { AgentTurn, IndexedChunk, TurnUsage } from '../../agent/turn.ts'

const Count = Type.Integer({ minimum: 0 })

/** The fields of a `data-usage` chunk that are used here. */
const Counted = Type.Object({
  inputTokens: Count,
  outputTokens: Count,
  totalTokens: Count,
  cachedInputTokens: Type.Optional(Count),
  reasoningTokens: Type.Optional(Count),
  estimated: Type.Optional(Type.Boolean()),
  steps: Type.Optional(Count),
  model: Type.Optional(Type.String()),
  history: Type.Optional(Type.Object({ sent: Count, summarized: Count, dropped: Count })),
  warnings: Type.Optional(Type.Unknown()),
  timings: Type.Optional(Type.Object({ queuedMs: Type.Optional(Count), firstTokenMs: Type.Optional(Count) })),
})
const CountedCheck = TypeCompiler.Compile(Counted)

/** The newest token count in the chunks, the chunks up to it (`before`), and the chunks after it (`since`). */
export function lastCount(chunks: IndexedChunk[]) {
  const at = chunks.findLastIndex(
    ({ chunk }) => chunk.type === 'data-usage' && CountedCheck.Check(chunk.data),
  )
  const counted = chunks[at]?.chunk.data as Static<typeof Counted> | undefined
  return { counted, before: chunks.slice(0, at + 1), since: chunks.slice(at + 1) }
}

/**
 * The tokens of a run that broke off: the worker's newest count, and an estimate for a step that began after it. Null
 * when the worker has counted nothing and begun no step.
 */
export function partialUsage(chunks: IndexedChunk[], payload: AgentTurn | undefined): TurnUsage | null {
  const { counted, before: earlier, since } = lastCount(chunks)
  if (!since.some(({ chunk }) => chunk.type === 'start-step'))
    return counted === undefined ? null : usageOf(counted)
  const asked = payload === undefined ? '' : JSON.stringify([payload.history, payload.message])
  const before = sizeOf(earlier)
  const inputTokens =
    (counted?.inputTokens ?? 0) + estimateTokens(asked.length + before.said + before.returned)
  const outputTokens = (counted?.outputTokens ?? 0) + estimateTokens(sizeOf(since).said)
  const totals = { inputTokens, outputTokens, totalTokens: inputTokens + outputTokens, estimated: true }
  return counted === undefined ? totals : { ...usageOf(counted), ...totals }
}

/** The fields of `TurnUsage`. The chunk has further fields. */
function usageOf(counted: TurnUsage): TurnUsage {
  const { inputTokens, outputTokens, totalTokens, cachedInputTokens, reasoningTokens, estimated } = counted
  const known = { cachedInputTokens, reasoningTokens, estimated }
  const present = Object.entries(known).filter(([, value]) => value !== undefined)
  return { inputTokens, outputTokens, totalTokens, ...Object.fromEntries(present) }
}

/** Characters that the model has written (`said`), and that its tools have returned. */
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
