import type { AgentCard } from '../../agent/definition.ts'

/** What the service knows of this agent. The service loads this file when it starts, so it imports nothing. */
export const card: AgentCard = {
  description: 'A helpful assistant that can calculate and tell the time.',
}
