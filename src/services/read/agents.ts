import type { AgentRegister } from '../../agent/definition.ts'
import { readAgentSettings } from '../../agent/settings.ts'
import type { AgentTool } from '../../agent/tools/tool.ts'
import { insufficientScope } from '../../auth/refusals.ts'
import type { Caller } from '../../caller.ts'
import { type Problem, problem } from '../../errors.ts'
import { StartError } from '../../start-error.ts'

export interface AgentView {
  name: string
  description: string
  tools: ToolView[]
}

export interface ToolView {
  name: string
  description: string
  /** `sometimes`: a function of the tool decides for each call. */
  needsApproval: boolean | 'sometimes'
}

export interface AgentService {
  /** The names of all agents. */
  names: string[]
  /** The problem with which the agent is refused to the caller; undefined when the caller may use it. */
  refusal(caller: Caller, agent: string): Problem | undefined
  /** The agents that the caller may use, with the tools that they have by the settings of this process. */
  list(caller: Caller): Promise<AgentView[]>
}

export interface AgentOptions {
  /** Names of the agents that need the scope `agent:use:<name>`; `*` for all. */
  scoped: string[]
  /** The settings of the worker that this process knows. */
  environment: Record<string, string>
}

const NAME = /^[a-z][a-z0-9-]{0,31}$/

/** @throws StartError when the name of an agent cannot be part of a scope, or when a setting names an unknown agent */
export function agentService(register: AgentRegister, { scoped, environment }: AgentOptions): AgentService {
  const names = Object.keys(register)
  for (const name of names)
    if (!NAME.test(name))
      throw new StartError(`The agent "${name}" needs a name of lower-case letters, digits and "-".`)
  const strange = scoped.filter((name) => name !== '*' && !names.includes(name))
  if (strange.length > 0)
    throw new StartError(`AUTH_AGENT_SCOPES names agents that do not exist: ${strange.join(', ')}.`)

  const needsScope = (agent: string) => scoped.includes('*') || scoped.includes(agent)

  function refusal({ scopes = [] }: Caller, agent: string): Problem | undefined {
    if (!names.includes(agent)) return problem('agent_unknown')
    const scope = `agent:use:${agent}` as const
    return needsScope(agent) && !scopes.includes(scope) ? insufficientScope(scope) : undefined
  }

  return {
    names,
    refusal,
    async list(caller) {
      const usable = Object.entries(register).filter(([name]) => refusal(caller, name) === undefined)
      return Promise.all(
        usable.map(async ([name, { card, load }]) => {
          const { tools } = await load()
          return {
            name,
            description: card.description,
            tools: toolsOf(tools(readAgentSettings(environment))),
          }
        }),
      )
    },
  }
}

const toolsOf = (tools: Record<string, AgentTool>): ToolView[] =>
  Object.entries(tools).map(([name, { description, needsApproval = false }]) => ({
    name,
    description,
    needsApproval: typeof needsApproval === 'function' ? 'sometimes' : needsApproval,
  }))
