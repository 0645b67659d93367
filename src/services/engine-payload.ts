import { type AgentTurn, PAYLOAD_VERSION, type TurnMessage, type TurnOrigin } from '../agent/turn.ts'
import { problem } from '../errors.ts'

/** From 128 KiB on Trigger.dev needs an object store. */
const MAX_PAYLOAD_BYTES = 120 * 1024
const MAX_HISTORY_MESSAGES = 50

/** What a dispatch knows; `history` as read from the database or seeded by the request, oldest first. */
export interface PayloadParts {
  turnId: string
  conversationId: string | null
  message: TurnMessage
  assistantMessageId: string
  history: Array<TurnMessage & { position: number }>
  ahead: string[]
  traceparent?: string | undefined
  origin?: TurnOrigin | undefined
}

/**
 * The payload of a run: the message first, then as many whole turns of history as fit, newest kept.
 * @throws Problem `engine_payload_too_large` when the message alone does not fit
 */
export function buildPayload(parts: PayloadParts, { largePayloads }: { largePayloads: boolean }): AgentTurn {
  const { turnId, conversationId, assistantMessageId, ahead } = parts
  const turn: AgentTurn = {
    version: PAYLOAD_VERSION,
    turnId,
    conversationId,
    message: bare(parts.message),
    history: [],
    ahead,
    assistantMessageId,
    ...(parts.traceparent === undefined ? {} : { traceparent: parts.traceparent }),
    ...(parts.origin === undefined ? {} : { origin: parts.origin }),
  }
  let bytes = sizeOf(turn)
  if (bytes > MAX_PAYLOAD_BYTES && !largePayloads) throw problem('engine_payload_too_large')
  for (const group of turnsOf(parts.history).reverse()) {
    bytes += sizeOf(group)
    if (bytes > MAX_PAYLOAD_BYTES || turn.history.length + group.length > MAX_HISTORY_MESSAGES) break
    turn.history.unshift(...group)
  }
  return turn
}

/**
 * A turn begins with a message of the user; seeded history (position 0) may begin with an assistant's. What is
 * left of a turn whose beginning the window has cut off is not one.
 */
function turnsOf(history: PayloadParts['history']): TurnMessage[][] {
  const turns: TurnMessage[][] = []
  let position = 0
  for (const message of history) {
    const begins = message.role === 'user' || message.position !== position
    position = message.position
    if (begins || turns.length === 0) turns.push([])
    turns.at(-1)?.push(bare(message))
  }
  const isCut = history[0]?.role === 'assistant' && history[0].position > 0
  return isCut ? turns.slice(1) : turns
}

const bare = ({ id, role, parts }: TurnMessage): TurnMessage => ({ id, role, parts })
const sizeOf = (value: unknown): number => Buffer.byteLength(JSON.stringify(value))
