import type { LanguageModelV4 } from '@ai-sdk/provider'
import {
  isStepCount,
  type ModelMessage,
  type StopCondition,
  type Telemetry,
  ToolLoopAgent,
  type ToolSet,
} from 'ai'
import type { PendingActions } from './actions/pending.ts'
import type { Spent, Stop } from './finish-reason.ts'
import { isSpent } from './limits.ts'
import type { AgentSettings } from './settings.ts'
import { isToolLoop } from './tools/tool-loop.ts'

export interface AgentParts {
  model: LanguageModelV4
  instructions: string
  tools: ToolSet
  telemetry: Telemetry | undefined
  /** Says which calls wait for somebody. */
  approval: PendingActions['approval']
  /** The agent calls this function when it stops although it has steps left. */
  onStop(reason: Stop): void
  /** The reason when the tokens of the turn are used up. */
  spent: Spent
  /** Tokens that the turn has used before these steps. */
  usedBefore: number
  /** Whether the turn ends here for a message that steers it. Called between two steps. */
  isSteered(): Promise<boolean>
  /** Makes the messages of a step fit into its prompt. */
  prepareStep(messages: ModelMessage[]): ModelMessage[]
}

/**
 * OpenAI stores prompts and answers unless `store` is false. The AI SDK then refers to stored items by their ids, and
 * OpenAI refuses every prompt that refers to an item which it has deleted. OpenAI refuses most schemas in its strict
 * mode; the answer is checked here in any case.
 */
const DEFAULT_OPTIONS = { openai: { store: false, strictJsonSchema: false } }

/** Model, instructions and tools as one AI SDK agent. */
export function createAgent(settings: AgentSettings, parts: AgentParts) {
  const toolLoop: StopCondition<ToolSet> = ({ steps }) => {
    const looped = isToolLoop(steps)
    if (looped) parts.onStop('tool_loop')
    return looped
  }
  const tokenLimit: StopCondition<ToolSet> = ({ steps }) => {
    const { maxTotalTokens = Number.POSITIVE_INFINITY } = settings
    const isOver = isSpent(steps, parts.usedBefore, maxTotalTokens)
    if (isOver) parts.onStop(parts.spent)
    return isOver
  }
  const steered: StopCondition<ToolSet> = async () => {
    const isSteered = await parts.isSteered()
    if (isSteered) parts.onStop('steered')
    return isSteered
  }
  const { maxOutputTokens, temperature, reasoning, providerOptions, timeouts } = settings
  return new ToolLoopAgent({
    id: 'agent-chat',
    model: parts.model,
    instructions: parts.instructions,
    tools: parts.tools,
    toolApproval: parts.approval,
    stopWhen: [isStepCount(settings.maxSteps), toolLoop, tokenLimit, steered],
    prepareStep: ({ messages }) => ({ messages: parts.prepareStep(messages) }),
    // A run has one attempt, because a second one would call tools again. So the agent repeats failed model calls.
    maxRetries: settings.maxRetries,
    // The toolbox limits the time of tools, because its limit also ends tools that ignore their signal.
    timeout: { firstChunkMs: timeouts.firstChunkMs, chunkMs: timeouts.chunkMs },
    ...(maxOutputTokens === undefined ? {} : { maxOutputTokens }),
    ...(temperature === undefined ? {} : { temperature }),
    ...(reasoning === undefined ? {} : { reasoning }),
    providerOptions: {
      ...providerOptions,
      openai: { ...DEFAULT_OPTIONS.openai, ...providerOptions.openai },
    },
    // `converse` judges errors when it reads the stream. The AI SDK's default prints an error with the whole prompt.
    onError: () => {},
    // Spans hold durations and counts, and never the texts of prompts and answers.
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
