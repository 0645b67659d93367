import { agents } from '../../src/agents/index.ts'
import { support } from './second-agent.ts'

// The worker of tests with two agents.
Object.assign(agents, { support })

export { agentChat, agentQueue } from '../../src/trigger/agent-chat.ts'
