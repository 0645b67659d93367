import { turnsOf } from '../agent/history.ts'
import type { AgentTurn, KeptWindow, NewSummary } from '../agent/turn.ts'

/** What a run ahead has kept for later prompts; undefined in the outputs of other versions. */
export function readWindow(output: unknown): KeptWindow | undefined {
  const window = (output as { window?: KeptWindow } | undefined)?.window
  if (typeof window !== 'object' || window === null) return undefined
  const { summary, charactersPerToken } = window
  return {
    ...(isSummary(summary) ? { summary } : {}),
    ...(typeof charactersPerToken === 'number' ? { charactersPerToken } : {}),
  }
}

function isSummary(value: unknown): value is NewSummary {
  const { text, messages, dropped, through } = (value ?? {}) as Partial<NewSummary>
  return (
    typeof text === 'string' &&
    typeof messages === 'number' &&
    typeof dropped === 'number' &&
    Array.isArray(through)
  )
}

/**
 * The turn with the summary of a run ahead in place of the messages for which it stands. A summary that ends before the
 * history of the turn changes nothing: the payload has the same summary, or a newer one.
 */
export function withWindow(turn: AgentTurn, window: KeptWindow | undefined): AgentTurn {
  const { summary, charactersPerToken = turn.charactersPerToken } = window ?? {}
  const known = charactersPerToken === undefined ? turn : { ...turn, charactersPerToken }
  if (summary === undefined) return known
  const turns = turnsOf(turn.history)
  const last = turns.findLastIndex((messages) => messages.some(({ id }) => summary.through.includes(id)))
  if (last < 0) return known
  const { omitted: _, ...others } = known
  const { text, messages, dropped } = summary
  return { ...others, summary: { text, messages, dropped }, history: turns.slice(last + 1).flat() }
}
