import { Type } from '@sinclair/typebox'

export const AgentName = Type.String({
  minLength: 1,
  maxLength: 64,
  description: 'Name of an agent, as `GET /api/agent/agents` lists it',
})

const AgentTool = Type.Object(
  {
    name: Type.String(),
    description: Type.String(),
    needsApproval: Type.Unsafe<boolean | 'sometimes'>({
      anyOf: [{ type: 'boolean' }, { type: 'string', enum: ['sometimes'] }],
      description: 'Whether a call waits for a yes; `sometimes` where that depends on the call',
    }),
  },
  { 'x-name': 'AgentTool', description: 'A function that the agent may call' },
)

const Agent = Type.Object(
  {
    name: AgentName,
    description: Type.String({ description: 'What the agent is for' }),
    tools: Type.Array(AgentTool),
  },
  { 'x-name': 'Agent', description: 'An agent that may be asked' },
)

export const AgentList = Type.Object(
  { data: Type.Array(Agent) },
  { $id: 'AgentList', description: 'The agents that you may ask' },
)
