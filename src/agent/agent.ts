import { isStepCount, type StopCondition, type Telemetry, ToolLoopAgent, type ToolSet } from 'ai'
import { instructions } from './instructions.ts'
import { selectModel } from './model.ts'
import type { AgentSettings } from './settings.ts'
import { createTools } from './tools/index.ts'

/**
 * The agent of this service. To make it yours, change `instructions.ts`, `tools/` and `model.ts`; nothing else
 * knows what the agent is about.
 */
export function createAgent(settings: AgentSettings, telemetry?: Telemetry) {
  const tools: ToolSet = createTools({ faults: !settings.provider && settings.offline.faults })
  const stopWhen: StopCondition<ToolSet> = isStepCount(settings.maxSteps)
  return new ToolLoopAgent({
    id: 'agent-chat',
    model: selectModel(settings),
    instructions,
    tools,
    stopWhen,
    // The run itself has one attempt (a second one would run tools again), so retries happen here.
    maxRetries: settings.maxRetries,
    timeout: settings.timeouts,
    // Errors are judged by whoever reads the stream; the default would print them, the whole prompt included.
    onError: () => {},
    // Spans say how long and how many, never what was said.
    ...(telemetry && {
      telemetry: {
        integrations: telemetry,
        recordInputs: false,
        recordOutputs: false,
        functionId: 'agent-chat',
      },
    }),
  })
}
