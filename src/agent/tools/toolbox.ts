import { asSchema, jsonSchema, tool as sdkTool, type ToolSet } from 'ai'
import type { AgentLog } from '../failure-log.ts'
import { nameOf } from '../failure-log.ts'
import { cutJson } from '../output.ts'
import type { TurnCaller } from '../turn.ts'
import { withinTime } from './time-limit.ts'
import type { AgentTool } from './tool.ts'
import { ToolError } from './tool-error.ts'

/** The options that all tools of a turn share. */
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
  /** Whether the call has its result. A preliminary output that arrives later repeats the result. */
  isDone(toolCallId: string): boolean
  /**
   * Executes a call that an earlier run has made. Yields what the tool shows before its result, and returns the result.
   * @throws ToolError also when there is no such tool
   */
  execute(call: EarlierCall): AsyncGenerator<unknown, unknown>
}

/** A call that a run has made, and the run that executes it now may be another one. */
export interface EarlierCall {
  name: string
  input: unknown
  toolCallId: string
  /** The run that made the call. */
  runId: string
  signal: AbortSignal
}

/** Makes the AI SDK's tools, and holds every tool to the same rules: time, size, plain JSON and safe errors. */
export function createToolbox(definitions: Record<string, AgentTool>, options: ToolboxOptions): Toolbox {
  const done = new Set<string>()
  const entries = Object.entries(definitions).map(([name, definition]) => [
    name,
    sdkTool({
      description: definition.description,
      // The tool's own execution checks its arguments, so that user and model read the same sentence about arguments
      // that do not fit. Arguments that somebody is asked about are checked before.
      inputSchema: jsonSchema(
        asSchema(definition.inputSchema).jsonSchema,
        asksFirst(definition) ? { validate: validation(definition) } : {},
      ),
      ...(definition.outputSchema ? { outputSchema: definition.outputSchema } : {}),
      ...(definition.pin === undefined ? {} : { metadata: { pin: definition.pin } }),
      ...(definition.execute === undefined ? {} : { execute: executing(name, definition) }),
    } as unknown as Parameters<typeof sdkTool>[0]),
  ])
  function executing(name: string, definition: AgentTool) {
    return async function* (
      input: unknown,
      {
        toolCallId,
        abortSignal = new AbortController().signal,
      }: { toolCallId: string; abortSignal?: AbortSignal },
    ) {
      const { runId } = options
      const call = { name, definition, input, toolCallId, runId, signal: abortSignal }
      const output = yield* execute(call, options)
      done.add(toolCallId)
      // The AI SDK takes the last value for the result.
      yield output
    }
  }
  return {
    tools: Object.fromEntries(entries),
    isDone: (toolCallId) => done.has(toolCallId),
    execute(call) {
      const definition = Object.hasOwn(definitions, call.name) ? definitions[call.name] : undefined
      if (definition?.execute === undefined) throw new ToolError('There is no such tool.')
      return execute({ ...call, definition }, options)
    },
  }
}

const asksFirst = ({ needsApproval, execute }: AgentTool): boolean =>
  execute === undefined || (needsApproval !== undefined && needsApproval !== false)

/** Takes arguments that fit the tool's schema as they are: what somebody is asked about is what the model has written. */
const validation =
  ({ inputSchema }: AgentTool) =>
  (value: unknown) => {
    const { success, error } = inputSchema.safeParse(value)
    return success ? ({ success, value } as const) : ({ success, error } as const)
  }

interface Call extends EarlierCall {
  definition: AgentTool
}

/** Yields the values that the tool shows before its result, the newest one only, and returns its output. */
async function* execute(call: Call, options: ToolboxOptions): AsyncGenerator<unknown, unknown> {
  const { caller, context, timeoutMs, outputMax, log } = options
  let shown: { value: unknown } | undefined
  let news = Promise.withResolvers<'news'>()
  const progress = (value: unknown) => {
    shown = { value: plain(value, outputMax) }
    news.resolve('news')
  }
  const idempotencyKey = `${call.runId}:${call.toolCallId}`
  const limit = call.definition.timeoutMs ?? timeoutMs
  const work = withinTime(limit, call.signal, async (signal) => {
    const run = { caller, context, signal, progress, idempotencyKey }
    return plain(await call.definition.execute?.(fitting(call), run), outputMax)
  })
  try {
    // Marks a rejection as handled: the loop races `work` again and again, and its last race throws the failure.
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

/** The arguments of a call as the tool takes them. @throws ToolError that names every argument that does not fit */
function fitting({ definition, input }: Call): unknown {
  const { success, data, error } = definition.inputSchema.safeParse(input)
  if (success) return data
  const [first] = error.issues
  const where = first?.path.length ? ` \`${first.path.join('.')}\`:` : ''
  throw new ToolError(`The arguments do not fit the tool.${where} ${first?.message ?? ''}`.trim())
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

/** The error that user and model may read. The kind of the real error, without its message, goes to the log. */
function safe(name: string, error: unknown, log: AgentLog): ToolError {
  if (error instanceof ToolError) return new ToolError(error.message)
  log.error(`The tool "${name}" failed: ${nameOf(error)}`)
  return new ToolError('The tool failed.')
}
