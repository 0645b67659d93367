import type { AgentRegister } from '../agent/definition.ts'
import type { Caller } from '../caller.ts'
import { Problem, problem } from '../errors.ts'
import type { AgentService } from '../services/read/agents.ts'
import type { AgentChoice } from '../services/start/agent-choice.ts'
import { contextCheck } from './turn-context.ts'

/** What a request brings along for its agent. */
interface Asking {
  context?: Record<string, unknown> | undefined
}

/**
 * Makes the check of the agents that a request may use: the caller has their scope, and the context fits their schema.
 * The start compares them with the agent of the conversation, which the database alone knows.
 * @throws StartError when a schema is not valid
 */
export function agentCheck(
  register: AgentRegister,
  agents: Pick<AgentService, 'refusal'>,
): (caller: Caller, asking: Asking) => AgentChoice {
  const checks = Object.entries(register).map(
    ([name, { card }]) => [name, contextCheck(card.contextSchema, name)] as const,
  )
  return (caller, { context }) => {
    const refusals = new Map<string, Problem | undefined>(
      checks.map(([name, check]) => [name, agents.refusal(caller, name) ?? problemOf(() => check(context))]),
    )
    return {
      usable: [...refusals].flatMap(([name, refusal]) => (refusal === undefined ? [name] : [])),
      refusal: (agent) => refusals.get(agent) ?? problem('agent_unknown'),
    }
  }
}

function problemOf(check: () => void): Problem | undefined {
  try {
    check()
    return undefined
  } catch (error) {
    if (error instanceof Problem) return error
    throw error
  }
}
