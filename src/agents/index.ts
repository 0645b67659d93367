import type { AgentRegister } from '../agent/definition.ts'
import { card as defaultCard } from './default/card.ts'

/**
 * The agents of this service: each is a folder, and a line here. A name has lower-case letters, digits and `-`. The
 * definitions are loaded on demand, so that the service starts without the code of their tools.
 */
export const agents: AgentRegister = {
  default: { card: defaultCard, load: async () => (await import('./default/agent.ts')).agent },
}
