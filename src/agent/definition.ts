import type { AgentSettings } from './settings.ts'
import type { AgentTool } from './tools/tool.ts'
import type { HistoryMessage, TurnCaller, TurnLimits } from './turn.ts'

/** What the service has to know of an agent when it starts. */
export interface AgentCard {
  /** Says in a sentence what the agent is for: `GET /api/agent/agents` shows it. */
  description: string
  /**
   * JSON Schema of the `context` that requests may bring; any object when absent. A request whose context does not fit
   * is refused with the paths of its faults.
   */
  contextSchema?: Record<string, unknown>
}

/** An agent as the worker runs it. */
export interface AgentDefinition {
  /**
   * The system prompt of a turn: a text, or a function that makes one. The model reads no other system prompt, because
   * system messages of a conversation never reach it.
   */
  instructions: string | ((input: InstructionsInput) => string | Promise<string>)
  /** Tools by the names that the model calls them. */
  tools(settings: AgentSettings): Record<string, AgentTool>
  /** Names of models, each as in `AGENT_MODEL`: the main one, then its fallbacks. The operator's models when absent. */
  models?: string[]
  /** Bounds of a turn. Of the agent's, the operator's and the request's the lower ones count. */
  limits?: TurnLimits
}

/** An agent in the register of agents. */
export interface RegisteredAgent {
  card: AgentCard
  /** Loads the definition, with the code of its tools, when it is needed for the first time. */
  load(): Promise<AgentDefinition>
}

/** Agents by their names. */
export type AgentRegister = Record<string, RegisteredAgent>

/** The facts from which the instructions can be made. The model learns of them only through the instructions. */
export interface InstructionsInput {
  /** The user for whom the agent works; undefined when the service that started the turn is older than the worker. */
  caller: TurnCaller | undefined
  /** The `context` of the request; empty when it had none. */
  context: Record<string, unknown>
  now: Date
  /**
   * The conversation before this turn; its id is null when it could not be stored. `summary` stands for the messages
   * before `history`, where there is one.
   */
  conversation: { id: string | null; history: HistoryMessage[]; summary?: string }
}
