import { tool as sdkTool, type ToolSet } from 'ai'
import type { AgentLog } from '../failure-log.ts'
import { nameOf } from '../failure-log.ts'
import { cutJson } from '../output.ts'
import type { TurnCaller } from '../turn.ts'
import { withinTime } from './time-limit.ts'
import type { AgentTool } from './tool.ts'
import { ToolError } from './tool-error.ts'

/** What all tools of a turn share. */
export interface ToolboxOptions {
  runId: string
  caller: TurnCaller | undefined
  context: Record<string, unknown>
  /** Milliseconds that one call may take, unless the tool says otherwise. */
  timeoutMs: number
  /** Characters of an output as JSON; a longer one is cut. */
  outputMax: number
  log: AgentLog
}

export interface Toolbox {
  tools: ToolSet
  /** The call has its result: what is still shown as progress is it. */
  isDone(toolCallId: string): boolean
}

/** The tools as the AI SDK takes them, with what every tool is held to: time, size, plain JSON and safe errors. */
export function createToolbox(definitions: Record<string, AgentTool>, options: ToolboxOptions): Toolbox {
  const done = new Set<string>()
  const entries = Object.entries(definitions).map(([name, definition]) => [
    name,
    sdkTool({
      description: definition.description,
      inputSchema: definition.inputSchema,
      ...(definition.outputSchema ? { outputSchema: definition.outputSchema } : {}),
      async *execute(input, { toolCallId, abortSignal = new AbortController().signal }) {
        const call = { name, definition, input, toolCallId, signal: abortSignal }
        const output = yield* execute(call, options)
        done.add(toolCallId)
        // The AI SDK takes the last value for the result.
        yield output
      },
    }),
  ])
  return { tools: Object.fromEntries(entries), isDone: (toolCallId) => done.has(toolCallId) }
}

interface Call {
  name: string
  definition: AgentTool
  input: unknown
  toolCallId: string
  signal: AbortSignal
}

/** Yields what the tool shows on its way, the newest value only, and returns its output. */
async function* execute(call: Call, options: ToolboxOptions): AsyncGenerator<unknown, unknown> {
  const { runId, caller, context, timeoutMs, outputMax, log } = options
  let shown: { value: unknown } | undefined
  let news = Promise.withResolvers<'news'>()
  const progress = (value: unknown) => {
    shown = { value: plain(value, outputMax) }
    news.resolve('news')
  }
  const idempotencyKey = `${runId}:${call.toolCallId}`
  const limit = call.definition.timeoutMs ?? timeoutMs
  const work = withinTime(limit, call.signal, async (signal) => {
    const run = { caller, context, signal, progress, idempotencyKey }
    return plain(await call.definition.execute(call.input, run), outputMax)
  })
  try {
    // Raced below again and again; a failure is thrown by the last race.
    work.catch(() => {})
    while ((await Promise.race([work, news.promise])) === 'news' && shown !== undefined) {
      const { value } = shown
      shown = undefined
      news = Promise.withResolvers<'news'>()
      yield value
    }
    return await work
  } catch (error) {
    call.signal.throwIfAborted()
    throw safe(call.name, error, log)
  }
}

/** A copy as plain JSON, cut where it is too long. A value that is no JSON would break the stream of the turn. */
function plain(value: unknown, max: number): unknown {
  let json: string
  try {
    json = JSON.stringify(value) ?? 'null'
  } catch {
    throw new ToolError('The tool returned something that cannot be passed on.')
  }
  const copy: unknown = JSON.parse(json)
  return json.length > max ? cutJson(copy, max) : copy
}

/** The error that user and model may read; what it really was is for the operator, without the message. */
function safe(name: string, error: unknown, log: AgentLog): ToolError {
  if (error instanceof ToolError) return new ToolError(error.message)
  log.error(`The tool "${name}" failed: ${nameOf(error)}`)
  return new ToolError('The tool failed.')
}
