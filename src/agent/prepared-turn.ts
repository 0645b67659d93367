import { asSchema, type ModelMessage, type Telemetry, type ToolSet } from 'ai'
import { createPendingActions } from './actions/pending.ts'
import { createAgent } from './agent.ts'
import { classify } from './classify.ts'
import type { AgentDefinition } from './definition.ts'
import { type AgentLog, describeFailure, textsIn } from './failure-log.ts'
import { spentOf, withLimits } from './limits.ts'
import { pinsOf } from './mcp/pins.ts'
import { selectModel } from './models/select.ts'
import type { AgentSettings } from './settings.ts'
import { createAnswerForm } from './structured/answer-form.ts'
import type { AgentTool } from './tools/tool.ts'
import { createToolbox, type Toolbox } from './tools/toolbox.ts'
import { type AgentTurn, DEFAULT_AGENT, type TurnSummary } from './turn.ts'
import type { TurnWatch } from './turn-watch.ts'
import { createHistoryWindow } from './window/history-window.ts'
import { sizeOf } from './window/size.ts'
import { writeSummary } from './window/summary.ts'
import { createTokenWindow, type TokenWindow } from './window/token-window.ts'
import { cutResults } from './window/tool-results.ts'

export interface TurnTools {
  settings: () => AgentSettings
  agent: AgentDefinition
  runId: string
  log: AgentLog
  telemetry?: Telemetry | undefined
  watch: TurnWatch
  /**
   * The run whose message steers this turn; undefined when there is none. Called between two steps.
   */
  steeredBy?: () => Promise<string | undefined>
  /** Whether a turn is missing in the history. */
  incomplete?: boolean
}

/** What one turn is made with. */
export type PreparedTurn = Awaited<ReturnType<typeof prepareTurn>>

/** Reads the settings and makes the model, the instructions, the tools and the window of a turn. */
export async function prepareTurn(
  turn: AgentTurn,
  { agent, watch, log, runId, telemetry, incomplete, steeredBy, ...read }: TurnTools,
) {
  const settings = withLimits(read.settings(), turn, agent)
  const spent = spentOf(turn, settings)
  watch.allow(settings.maxTotalTokens, spent)
  const form = turn.responseFormat === undefined ? undefined : createAnswerForm(turn.responseFormat)
  const window = createTokenWindow(settings.contextTokens, turn.charactersPerToken)
  const secret = () => textsIn([turn.message, turn.history, turn.summary, turn.context])
  const model = await selectModel(settings, {
    onAsk: watch.asked,
    onFailure: (failed, next, error) => {
      const why = describeFailure(classify(error), error, secret())
      log.warn(`The model ${failed} could not answer, ${next} is asked instead. ${why}`)
    },
    onSend: window.sends,
    onCount: window.counted,
  })
  const { caller, context = {} } = turn
  const { timeouts, toolOutputMax: outputMax } = settings
  const own = agent.tools(settings)
  const definitions = { ...own, ...(await remoteTools(turn, { own, settings, watch, log })) }
  const toolbox = createToolbox(definitions, {
    ...{ runId, caller, context, outputMax, log },
    timeoutMs: timeouts.toolMs,
  })
  const pending = createPendingActions(definitions, { caller, context, ttlMs: settings.actionTtlMs })
  const conversation = {
    id: turn.conversationId,
    history: turn.history,
    ...(turn.summary === undefined ? {} : { summary: turn.summary.text }),
  }
  const written =
    typeof agent.instructions === 'string'
      ? agent.instructions
      : await agent.instructions({ caller, context, now: new Date(), conversation })
  const instructions = form === undefined ? written : `${written}\n\n${form.instructions}`
  const fixed = instructions.length + (await sizeOfTools(toolbox.tools))

  const summarize = async (earlier: TurnSummary | undefined, messages: ModelMessage[], longest: number) => {
    const limits = { room: window.room, longest, signal: watch.signal }
    try {
      return await writeSummary(earlier, messages, { model, settings, ...limits, onUsage: watch.meter.add })
    } catch (error) {
      // The turn goes on without the oldest messages, and the next turn tries again.
      if (!watch.signal.aborted)
        log.warn(`The conversation was not summarised. ${describeFailure(classify(error), error, secret())}`)
      return undefined
    }
  }
  const history = createHistoryWindow(turn, {
    window,
    fixed,
    summarize: settings.contextTokens === undefined || incomplete ? undefined : summarize,
  })

  return {
    settings,
    form,
    window,
    history,
    toolbox,
    pending,
    /** The agent, with the steps that the turn has left. */
    agent: () =>
      createAgent(
        { ...settings, maxSteps: Math.max(1, settings.maxSteps - watch.meter.steps) },
        {
          model: form === undefined ? model : form.asking(model),
          instructions,
          tools: toolbox.tools,
          telemetry,
          approval: pending.approval,
          onStop: watch.stopped,
          spent,
          usedBefore: watch.meter.sofar(),
          isSteered: async () => watch.steer(await steeredBy?.()),
          prepareStep: (messages) => withinWindow(messages, window, fixed),
        },
      ),
  }
}

interface Remote extends Pick<TurnTools, 'watch' | 'log'> {
  own: Record<string, AgentTool>
  settings: AgentSettings
}

/** The tools of MCP servers that the agent of the turn has. Their connections end with the turn. */
async function remoteTools(
  turn: AgentTurn,
  { own, settings, watch, log }: Remote,
): Promise<Record<string, AgentTool>> {
  const { agent = DEFAULT_AGENT, caller, context = {} } = turn
  const servers = settings.mcpServers.filter((server) => server.agents(agent))
  if (servers.length === 0) return {}
  const { mcpTools } = await import('./mcp/tools.ts')
  const { signal, warn } = watch
  const mcp = mcpTools(servers, { caller, context, log, signal, warn, pinned: pinsOf(turn) })
  watch.onEnd(mcp.close)
  return mcp.toolsBeside(own)
}

/** Cuts results of tools that have come in this turn, so that its next step has a prompt that fits. */
function withinWindow(messages: ModelMessage[], window: TokenWindow, fixed: number): ModelMessage[] {
  const excess = fixed + sizeOf(messages) - window.room
  return excess > 0 ? cutResults(messages, excess).messages : messages
}

async function sizeOfTools(tools: Toolbox['tools']): Promise<number> {
  const told = Object.entries(tools as ToolSet).map(async ([name, { description, inputSchema }]) =>
    sizeOf({ name, description, inputSchema: await asSchema(inputSchema).jsonSchema }),
  )
  return (await Promise.all(told)).reduce((sum, size) => sum + size, 0)
}
