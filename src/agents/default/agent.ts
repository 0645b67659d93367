import type { AgentDefinition } from '../../agent/definition.ts'
import { instructions } from './instructions.ts'
import { createTools } from './tools/index.ts'

/** The agent that answers where a request names no other. */
export const agent: AgentDefinition = { instructions, tools: createTools }
