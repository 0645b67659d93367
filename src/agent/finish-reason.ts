import type { FinishReason as ModelFinishReason } from 'ai'
import type { FinishReason } from './turn.ts'

/** The service's word for each finish reason of a model. A turn ends with `tool-calls` only if the loop was cut. */
const TOLD: Record<ModelFinishReason, FinishReason> = {
  stop: 'stop',
  length: 'length',
  'content-filter': 'content_filter',
  'tool-calls': 'step_limit',
  error: 'other',
  interrupted: 'other',
  other: 'other',
}

/** Why the agent stopped between two steps. When it is undefined there, the agent has used up its steps. */
export type Stop = Extract<FinishReason, 'tool_loop' | 'action_required' | 'steered'> | Spent
/** A limit that cuts an answer anywhere. */
export type Cut = Extract<FinishReason, 'time_limit'> | Spent
/** Which limit of tokens a turn meets first: that of its request or its settings, or what its user's budget holds. */
export type Spent = Extract<FinishReason, 'token_limit' | 'budget'>

/** The model's finish reason in the words of this service. */
export function tellReason(reason: ModelFinishReason, stop: Stop | undefined): FinishReason {
  if (stop === 'action_required') return stop
  return reason === 'tool-calls' && stop !== undefined ? stop : TOLD[reason]
}

/** Reads the finish reason of an output. An older worker wrote it in the AI SDK's words. */
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
  'token_limit',
  'time_limit',
  'tool_loop',
  'budget',
  'action_required',
  'steered',
  'other',
] as const satisfies FinishReason[]

/** The text of an answer that ended without a word, so that no answer is empty. */
export const WORDLESS: Partial<Record<FinishReason, string>> = {
  length: 'I reached the length limit before the first word of my answer.',
  content_filter: 'The answer was withheld by the content filter of the model.',
  step_limit: 'I reached the limit of steps for one turn before I had an answer.',
  token_limit: 'I reached the limit of tokens for one turn before I had an answer.',
  time_limit: 'I reached the limit of time for one turn before I had an answer.',
  budget: 'I used up the budget of tokens before I had an answer.',
  tool_loop: 'I stopped because the same tool call failed three times in a row.',
}
