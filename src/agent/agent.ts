import type { LanguageModelV4 } from '@ai-sdk/provider'
import { isStepCount, type StopCondition, type Telemetry, ToolLoopAgent, type ToolSet } from 'ai'
import type { AgentSettings } from './settings.ts'
import { isToolLoop } from './tools/tool-loop.ts'

export interface AgentParts {
  model: LanguageModelV4
  instructions: string
  tools: ToolSet
  telemetry: Telemetry | undefined
  /** Is told when the same tool call has failed so often that the loop is cut. */
  onToolLoop(): void
}

/** OpenAI keeps prompts and answers unless it is told not to; and an item that it forgets would wedge a conversation. */
const DEFAULT_OPTIONS = { openai: { store: false } }

/** Model, instructions and tools as one AI SDK agent. */
export function createAgent(settings: AgentSettings, parts: AgentParts) {
  const toolLoop: StopCondition<ToolSet> = ({ steps }) => {
    const looped = isToolLoop(steps)
    if (looped) parts.onToolLoop()
    return looped
  }
  const { maxOutputTokens, temperature, reasoning, providerOptions, timeouts } = settings
  return new ToolLoopAgent({
    id: 'agent-chat',
    model: parts.model,
    instructions: parts.instructions,
    tools: parts.tools,
    stopWhen: [isStepCount(settings.maxSteps), toolLoop],
    // The run itself has one attempt (a second one would run tools again), so retries happen here.
    maxRetries: settings.maxRetries,
    // Tools have a limit of their own, which also ends those that ignore their signal.
    timeout: { firstChunkMs: timeouts.firstChunkMs, chunkMs: timeouts.chunkMs },
    ...(maxOutputTokens === undefined ? {} : { maxOutputTokens }),
    ...(temperature === undefined ? {} : { temperature }),
    ...(reasoning === undefined ? {} : { reasoning }),
    providerOptions: {
      ...providerOptions,
      openai: { ...DEFAULT_OPTIONS.openai, ...providerOptions.openai },
    },
    // Errors are judged by whoever reads the stream; the default would print them, the whole prompt included.
    onError: () => {},
    // Spans say how long and how many, never what was said.
    ...(parts.telemetry && {
      telemetry: {
        integrations: parts.telemetry,
        recordInputs: false,
        recordOutputs: false,
        functionId: 'agent-chat',
      },
    }),
  })
}
