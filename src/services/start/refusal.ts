import { type Problem, problem } from '../../errors.ts'
import type { NewTurn, StartOutcome } from '../../stores/turns.ts'
import type { AgentChoice } from './agent-choice.ts'

/** The problem for a start that created no turn. */
export function refusal(
  outcome: Exclude<StartOutcome, { outcome: 'created' | 'replay' }>,
  { retryOf }: Pick<NewTurn, 'retryOf'>,
  agents: Pick<AgentChoice, 'refusal'>,
): Problem {
  switch (outcome.outcome) {
    case 'unresolved':
      return problem('idempotency_in_progress')
    case 'mismatch':
      return problem('idempotency_key_mismatch')
    case 'conversation_not_found':
      return problem(retryOf === undefined ? 'conversation_not_found' : 'run_not_found')
    case 'agent_mismatch':
      return problem('agent_mismatch', { members: { agent: outcome.agent } })
    case 'agent_refused':
      return agents.refusal(outcome.agent)
    case 'busy':
    case 'live':
      return problem('conversation_busy', {
        members: { activeRunId: outcome.activeRunId },
        ...(outcome.outcome === 'live' ? { detail: LIVE } : {}),
      })
    case 'queue_full':
      return problem('conversation_queue_full', { members: { activeRunId: outcome.activeRunId } })
    case 'changed':
      return problem('conversation_changed', { members: { headMessageId: outcome.headMessageId } })
    case 'not_last': {
      const { headMessageId, supersededBy } = outcome
      return problem('turn_not_last', { members: { headMessageId, supersededBy } })
    }
    case 'budget_exhausted':
      return problem('budget_exhausted', {
        detail: `Too few tokens are left of the ${outcome.scope}'s budget for this day (UTC).`,
        retryAfter: outcome.retryAfter,
      })
    case 'edit_long':
      return problem('edit_unsupported', { detail: 'The edit would replace too many turns.' })
  }
}

const LIVE =
  'The run that is to be repeated is unfinished. Wait for its end, cancel it, or send `ifBusy: "interrupt"`.'
