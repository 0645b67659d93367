import type { FinishReason as ModelFinishReason } from 'ai'
import type { FinishReason } from './turn.ts'

/** How the model's own reason is told. `tool-calls` at the end of a turn: the loop was cut. */
const TOLD: Record<ModelFinishReason, FinishReason> = {
  stop: 'stop',
  length: 'length',
  'content-filter': 'content_filter',
  'tool-calls': 'step_limit',
  error: 'other',
  interrupted: 'other',
  other: 'other',
}

/**
 * The reason in the words of this service.
 * @param looped the loop was cut because the same tool call failed again and again
 */
export function tellReason(reason: ModelFinishReason, looped: boolean): FinishReason {
  return reason === 'tool-calls' && looped ? 'tool_loop' : TOLD[reason]
}

/** Reads the reason of an output, which may come from a worker that still used the model's words. */
export function readReason(reason: unknown): FinishReason {
  if (typeof reason !== 'string') return 'other'
  if (Object.hasOwn(TOLD, reason)) return TOLD[reason as ModelFinishReason]
  return FINISH_REASONS.find((known) => known === reason) ?? 'other'
}

/** Every reason for which a turn completes. */
export const FINISH_REASONS = [
  'stop',
  'length',
  'content_filter',
  'step_limit',
  'tool_loop',
  'other',
] as const satisfies FinishReason[]

/** What an answer says that ended without a word, so that no answer is silently empty. */
export const WORDLESS: Partial<Record<FinishReason, string>> = {
  length: 'I reached the length limit before the first word of my answer.',
  content_filter: 'The answer was withheld by the content filter of the model.',
  step_limit: 'I reached the limit of steps for one turn before I had an answer.',
  tool_loop: 'I stopped because the same tool call failed three times in a row.',
}
