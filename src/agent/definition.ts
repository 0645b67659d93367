import { instructions } from './instructions.ts'
import type { AgentSettings } from './settings.ts'
import { createTools } from './tools/index.ts'
import type { AgentTool } from './tools/tool.ts'

/** What makes an agent: its words and its tools. The model comes from the settings. */
export interface AgentDefinition {
  instructions: typeof instructions
  /** JSON Schema of the `context` that requests may bring; any object when absent. */
  contextSchema?: Record<string, unknown>
  tools(settings: AgentSettings): Record<string, AgentTool>
}

/** The agent of this service. */
export const agentDefinition: AgentDefinition = { instructions, tools: createTools }
