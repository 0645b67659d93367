import type { TextStreamPart, ToolApprovalStatus, ToolSet } from 'ai'
import { v7 as uuid } from 'uuid'
import type { AgentTool, AskedFor } from '../tools/tool.ts'
import type { ActionKind, AskedAction } from '../turn.ts'

/** Bytes of the arguments of one call as JSON, and calls of one turn, about which somebody may be asked. */
const MOST_BYTES = 16_000
const MOST_CALLS = 16
const MOST_BYTES_IN_ALL = 40_000
const MOST_MESSAGE = 500

const TOO_LONG = 'The arguments are too long to be shown to somebody. Call the tool with shorter ones.'
const TOO_MANY = 'Too many calls wait for an answer already. Wait for their results first.'

export interface PendingOptions extends AskedFor {
  /** Milliseconds after which an unanswered call counts as denied. */
  ttlMs: number
}

export type PendingActions = ReturnType<typeof createPendingActions>

/** Decides which calls of a turn have to wait, and collects them. */
export function createPendingActions(definitions: Record<string, AgentTool>, options: PendingOptions) {
  const { ttlMs, ...asked } = options
  const actions = new Map<string, AskedAction>()
  /** All calls in their order: the AI SDK asks about them in another one. */
  const calls: string[] = []
  /** The AI SDK asks about all calls of a step before it requests the first approval. */
  let asking = 0
  let bytes = 0

  const definitionOf = (name: string): AgentTool | undefined =>
    Object.hasOwn(definitions, name) ? definitions[name] : undefined

  const add = (kind: ActionKind, call: Call, message: string | undefined): string => {
    const { toolCallId, toolName, input } = call
    const [actionId, now] = [uuid(), Date.now()]
    actions.set(toolCallId, {
      ...{ actionId, toolCallId, toolName, args: input ?? {}, kind },
      ...(message ? { message: message.slice(0, MOST_MESSAGE) } : {}),
      createdAt: new Date(now).toISOString(),
      expiresAt: new Date(now + ttlMs).toISOString(),
    })
    return actionId
  }

  return {
    /** Tells the AI SDK whether a call is executed, waits for somebody, or is refused. */
    async approval({ toolCall }: { toolCall: Call }): Promise<ToolApprovalStatus> {
      const definition = definitionOf(toolCall.toolName)
      if (definition === undefined) return 'not-applicable'
      const isCallers = definition.execute === undefined
      const needed = isCallers || (await needs(definition, toolCall.input, asked))
      if (needed === false) return 'not-applicable'
      if (asking >= MOST_CALLS) return { type: 'denied', reason: TOO_MANY }
      const size = Buffer.byteLength(JSON.stringify(toolCall.input ?? {}))
      if (size > MOST_BYTES || bytes + size > MOST_BYTES_IN_ALL) return { type: 'denied', reason: TOO_LONG }
      asking += 1
      bytes += size
      if (isCallers) return void add('tool_result', toolCall, undefined)
      return typeof needed === 'string' ? { type: 'user-approval', reason: needed } : 'user-approval'
    },
    /** Gives the request for an approval the id of its action. Other parts of the stream pass unchanged. */
    observe(part: TextStreamPart<ToolSet>): TextStreamPart<ToolSet> {
      if (part.type === 'tool-call') calls.push(part.toolCallId)
      if (part.type !== 'tool-approval-request' || part.isAutomatic) return part
      return { ...part, approvalId: add('approval', part.toolCall, part.reason) }
    },
    /** The calls for which the turn waits, in their order. */
    get all(): AskedAction[] {
      return calls.flatMap((toolCallId) => actions.get(toolCallId) ?? [])
    },
  }
}

interface Call {
  toolCallId: string
  toolName: string
  input: unknown
}

async function needs(
  { needsApproval }: AgentTool,
  input: unknown,
  asked: AskedFor,
): Promise<boolean | string> {
  if (typeof needsApproval !== 'function') return needsApproval ?? false
  try {
    return await needsApproval(input, asked)
  } catch {
    return true
  }
}
