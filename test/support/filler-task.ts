import { faultTools } from '../../src/agent/offline/fault-tools.ts'
import { agent } from '../../src/agents/default/agent.ts'
import { createTools } from '../../src/agents/default/tools/index.ts'

// The agent of the tests of long conversations: any model may call `filler`, which returns texts of any length.
Object.assign(agent, {
  tools: (settings: Parameters<typeof createTools>[0]) => ({
    ...createTools(settings),
    filler: faultTools.filler,
  }),
})

export { agentChat, agentQueue } from '../../src/trigger/agent-chat.ts'
