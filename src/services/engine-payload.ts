import { fitMessage } from '../agent/output.ts'
import { type AgentTurn, PAYLOAD_VERSION, type TurnMessage, type TurnOrigin } from '../agent/turn.ts'
import { problem } from '../errors.ts'

/** From 128 KiB on Trigger.dev needs an object store. */
const MAX_PAYLOAD_BYTES = 120 * 1024
const MAX_HISTORY_MESSAGES = 50

/** What a dispatch knows; `history` as read from the database or seeded by the request, oldest first. */
export interface PayloadParts {
  turnId: string
  conversationId: string | null
  position?: number | null
  message: TurnMessage
  assistantMessageId: string
  history: PlacedMessage[]
  ahead: PlacedRun[]
  traceparent?: string | undefined
  origin?: TurnOrigin | undefined
}

type PlacedMessage = TurnMessage & { position: number }

/** A run of the engine and its turn's place in the conversation. */
export interface PlacedRun {
  runId: string
  position: number
}

/**
 * The payload of a run: the message first, then as many turns of history as fit, newest kept.
 * @throws Problem `engine_payload_too_large` when the message alone does not fit
 */
export function buildPayload(parts: PayloadParts, { largePayloads }: { largePayloads: boolean }): AgentTurn {
  const { turnId, conversationId, assistantMessageId } = parts
  const turn: AgentTurn = {
    version: PAYLOAD_VERSION,
    turnId,
    conversationId,
    message: bare(parts.message),
    history: [],
    ahead: parts.ahead.map(({ runId }) => runId),
    aheadAfter: parts.ahead.map(() => MAX_HISTORY_MESSAGES),
    assistantMessageId,
    ...(parts.position ? { position: parts.position } : {}),
    ...(parts.traceparent === undefined ? {} : { traceparent: parts.traceparent }),
    ...(parts.origin === undefined ? {} : { origin: parts.origin }),
  }
  let bytes = sizeOf(turn)
  if (bytes > MAX_PAYLOAD_BYTES && !largePayloads) throw problem('engine_payload_too_large')
  const history: PlacedMessage[] = []
  for (const group of turnsOf(parts.history.map(fitted)).reverse()) {
    bytes += sizeOf(group.map(bare))
    if (bytes > MAX_PAYLOAD_BYTES || history.length + group.length > MAX_HISTORY_MESSAGES) break
    history.unshift(...group)
  }
  const standBefore = (run: PlacedRun) => history.filter(({ position }) => position < run.position).length
  return { ...turn, history: history.map(bare), aheadAfter: parts.ahead.map(standBefore) }
}

/**
 * A turn begins with a message of the user; seeded history (position 0) may begin with an assistant's. What is
 * left of a turn whose beginning the window has cut off is not one.
 */
function turnsOf(history: PlacedMessage[]): PlacedMessage[][] {
  const turns: PlacedMessage[][] = []
  let position = 0
  for (const message of history) {
    const begins = message.role === 'user' || message.position !== position
    position = message.position
    if (begins || turns.length === 0) turns.push([])
    turns.at(-1)?.push(message)
  }
  const isCut = history[0]?.role === 'assistant' && history[0].position > 0
  return isCut ? turns.slice(1) : turns
}

/** An answer that no output has room for is cut as there, so that the turn itself is not forgotten. */
const fitted = (message: PlacedMessage): PlacedMessage => ({ ...message, ...fitMessage(message) })
const bare = ({ id, role, parts }: TurnMessage): TurnMessage => ({ id, role, parts })
const sizeOf = (value: unknown): number => Buffer.byteLength(JSON.stringify(value))
