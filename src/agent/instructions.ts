import type { HistoryMessage, TurnCaller } from './turn.ts'

/** What the instructions may be made of. Nothing of it reaches the model but by these words. */
export interface InstructionsInput {
  /** The user for whom the agent works; undefined when the service that started the turn does not say it. */
  caller: TurnCaller | undefined
  /** The `context` of the request; empty when it had none. */
  context: Record<string, unknown>
  now: Date
  /** The conversation before this turn; its id is null when it could not be stored. */
  conversation: { id: string | null; history: HistoryMessage[] }
}

/**
 * The system prompt of a turn: a text, or a function that makes one. It comes from here alone: system messages in a
 * conversation are refused.
 */
export const instructions: string | ((input: InstructionsInput) => string | Promise<string>) =
  `You are a helpful assistant.
Answer in the language of the user, briefly and truthfully.
Use the tool "calculate" for every calculation and "current_time" for the current date or time.
When an earlier answer was interrupted, do not repeat it unless the user asks for it.`
