import type { Problem } from '../../errors.ts'

/** Which agents a request may use. */
export interface AgentChoice {
  usable: string[]
  /** Why the request may not use an agent that is not among the usable ones. */
  refusal(agent: string): Problem
}
