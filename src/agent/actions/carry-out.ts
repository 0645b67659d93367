import type { UIMessageChunk } from 'ai'
import { UNKNOWN_OUTCOME } from '../history.ts'
import type { Toolbox } from '../tools/toolbox.ts'
import type { Continuation, DecidedAction, TurnMessage } from '../turn.ts'

type Part = TurnMessage['parts'][number]

export interface CarryingOut {
  toolbox: Toolbox
  signal: AbortSignal
  write(chunk: UIMessageChunk): Promise<void>
  describeToolError(error: unknown): string
}

const EXPIRED = 'Nobody has answered in time.'
const DENIED = 'The call was denied.'
const NO_RESULT = 'The caller has returned no result.'
const UNDECIDED = 'The call was not executed.'

/**
 * Does what was decided about the calls of an answer, all calls at once: executes those that were approved, with the
 * arguments that were asked about, and writes a result for every call. When the turn is stopped meanwhile, it is not known
 * whether the calls that have not ended were executed; the results of the others are kept.
 * @returns the parts of the answer, in which every call has its result
 */
export function carryOut({ message, actions }: Continuation, work: CarryingOut): Promise<Part[]> {
  return Promise.all(message.parts.map((part) => settle(part, actions, work)))
}

/** A part that is a call without a result; undefined for all others. */
export function openCall(part: Part): { toolCallId: string } | undefined {
  if (!('toolCallId' in part) || part.state.startsWith('output-')) return undefined
  return part
}

async function settle(part: Part, actions: DecidedAction[], work: CarryingOut): Promise<Part> {
  const call = openCall(part)
  if (call === undefined) return part
  const action = actions.find(({ toolCallId }) => toolCallId === call.toolCallId)
  const chunk = action === undefined ? failed(call, UNDECIDED) : await resultOf(action, work)
  await work.write(chunk)
  const { errorText: _, output: __, ...called } = part as Part & { errorText?: unknown; output?: unknown }
  const input = action === undefined ? {} : { input: action.args }
  const approval =
    action?.kind === 'approval'
      ? { approval: { id: action.actionId, approved: action.status === 'approved', ...reasonOf(action) } }
      : {}
  return { ...called, ...input, ...approval, ...stateOf(chunk) } as Part
}

type ResultChunk = Extract<
  UIMessageChunk,
  { type: 'tool-output-available' | 'tool-output-error' | 'tool-output-denied' }
>

async function resultOf(action: DecidedAction, work: CarryingOut): Promise<ResultChunk> {
  const { toolCallId, kind, status, output, error } = action
  if (kind === 'tool_result') {
    if (status !== 'answered') return failed(action, status === 'expired' ? EXPIRED : NO_RESULT)
    return error === undefined ? { type: 'tool-output-available', toolCallId, output } : failed(action, error)
  }
  if (status !== 'approved') return { type: 'tool-output-denied', toolCallId }
  try {
    return { type: 'tool-output-available', toolCallId, output: await execute(action, work) }
  } catch (cause) {
    return failed(action, work.signal.aborted ? UNKNOWN_OUTCOME : work.describeToolError(cause))
  }
}

/** Executes the call and shows what the tool shows before its result. */
async function execute(action: DecidedAction, { toolbox, signal, write }: CarryingOut): Promise<unknown> {
  const { toolCallId, toolName, args, runId } = action
  const steps = toolbox.execute({ name: toolName, input: args, toolCallId, runId, signal })
  for (;;) {
    const { done, value } = await steps.next()
    if (done) return value
    await write({ type: 'tool-output-available', toolCallId, output: value, preliminary: true })
  }
}

const failed = ({ toolCallId }: { toolCallId: string }, errorText: string): ResultChunk => ({
  type: 'tool-output-error',
  toolCallId,
  errorText,
})

function reasonOf({ status, reason }: DecidedAction): { reason?: string } {
  if (status === 'approved') return {}
  return { reason: reason ?? (status === 'expired' ? EXPIRED : DENIED) }
}

function stateOf(chunk: ResultChunk) {
  if (chunk.type === 'tool-output-available') return { state: 'output-available', output: chunk.output }
  if (chunk.type === 'tool-output-error') return { state: 'output-error', errorText: chunk.errorText }
  return { state: 'output-denied' }
}
