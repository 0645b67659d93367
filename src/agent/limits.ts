import type { StepResult, ToolSet } from 'ai'
import type { AgentDefinition } from './definition.ts'
import type { Spent } from './finish-reason.ts'
import type { AgentSettings } from './settings.ts'
import type { AgentTurn, TurnLimits } from './turn.ts'

type LimitedTurn = Pick<AgentTurn, 'limits' | 'budget'>

/** The bounds of a turn: of the request's and the agent's own the lower ones. */
export function withinBounds(
  { limits: asked = {} }: LimitedTurn,
  { limits: own = {} }: Pick<AgentDefinition, 'limits'>,
): TurnLimits {
  return {
    ...lower('maxSteps', asked.maxSteps, own.maxSteps),
    ...lower('maxOutputTokens', asked.maxOutputTokens, own.maxOutputTokens),
    ...lower('maxTotalTokens', asked.maxTotalTokens, own.maxTotalTokens),
    ...lower('maxSeconds', asked.maxSeconds, own.maxSeconds),
  }
}

/**
 * The settings for one turn: of the operator's limits, those of the agent and of the request, and what is reserved for
 * the run, the lower ones count.
 */
export function withLimits(
  settings: AgentSettings,
  turn: LimitedTurn,
  agent: Pick<AgentDefinition, 'limits'>,
): AgentSettings {
  const { maxSteps, maxOutputTokens, maxTotalTokens } = withinBounds(turn, agent)
  return {
    ...settings,
    maxSteps: Math.min(settings.maxSteps, maxSteps ?? settings.maxSteps),
    ...lower('maxOutputTokens', settings.maxOutputTokens, maxOutputTokens),
    ...lower('maxTotalTokens', settings.maxTotalTokens, maxTotalTokens, turn.budget?.maxTotalTokens),
  }
}

/** Why the turn ends when its tokens are used up. */
export const spentOf = ({ budget }: LimitedTurn, { maxTotalTokens }: AgentSettings): Spent =>
  budget !== undefined && budget.maxTotalTokens === maxTotalTokens ? 'budget' : 'token_limit'

function lower<Name extends string>(
  name: Name,
  ...values: (number | undefined)[]
): { [key in Name]?: number } {
  const known = values.filter((value) => value !== undefined)
  return known.length === 0 ? {} : ({ [name]: Math.min(...known) } as { [key in Name]?: number })
}

/**
 * Whether one more call of the model would exceed a limit of tokens: the call would send at least what the last call
 * has sent and answered.
 * @param before tokens that the turn had used before these steps
 */
export function isSpent(steps: StepResult<ToolSet>[], before: number, maxTotalTokens: number): boolean {
  const tokens = steps.map(({ usage }) => (usage.inputTokens ?? 0) + (usage.outputTokens ?? 0))
  const used = tokens.reduce((sum, each) => sum + each, before)
  return used + (tokens.at(-1) ?? 0) > maxTotalTokens
}
