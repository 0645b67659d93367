import { fitMessage } from '../../agent/output.ts'
import { type AgentTurn, PAYLOAD_VERSION, type TurnMessage, type TurnOrigin } from '../../agent/turn.ts'
import { problem } from '../../errors.ts'

/** From 128 KiB on Trigger.dev needs an object store. */
export const MAX_PAYLOAD_BYTES = 120 * 1024
export const MAX_HISTORY_MESSAGES = 50

/** What a dispatch knows; `history` as read from the database or seeded by the request, oldest first. */
export interface PayloadParts {
  turnId: string
  conversationId: string | null
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
 * The payload of a run: the message first, then as many turns of history as fit, newest kept. A message of history is
 * cut and measured only when those behind it have left room for it.
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
    ...(parts.traceparent === undefined ? {} : { traceparent: parts.traceparent }),
    ...(parts.origin === undefined ? {} : { origin: parts.origin }),
  }
  const bytes = sizeOf(turn)
  if (bytes > MAX_PAYLOAD_BYTES && !largePayloads) throw problem('engine_payload_too_large')
  const history = newestTurns(parts.history, MAX_PAYLOAD_BYTES - bytes)
  const standBefore = (run: PlacedRun) => history.filter(({ position }) => position < run.position).length
  return { ...turn, history: history.map(bare), aheadAfter: parts.ahead.map(standBefore) }
}

/** The newest whole turns that have room in so many bytes, oldest first. */
function newestTurns(history: PlacedMessage[], room: number): PlacedMessage[] {
  const kept: PlacedMessage[] = []
  let left = room
  for (let end = history.length; end > 0; ) {
    const begin = beginOfTurn(history, end)
    if (begin === undefined || kept.length + end - begin > MAX_HISTORY_MESSAGES) break
    const turn = history.slice(begin, end).map(fitted)
    left -= sizeOf(turn.map(bare))
    if (left < 0) break
    kept.unshift(...turn)
    end = begin
  }
  return kept
}

/**
 * Where the turn begins whose last message stands before `end`. A turn begins with a message of the user; seeded
 * history (position 0) may begin with an assistant's. Undefined for the rest of a turn whose beginning is not there.
 */
function beginOfTurn(history: PlacedMessage[], end: number): number | undefined {
  const position = history[end - 1]?.position
  for (let at = end - 1; at >= 0; at--) {
    if (history[at]?.role === 'user') return at
    if (history[at - 1]?.position !== position) return at === 0 && position !== 0 ? undefined : at
  }
  return undefined
}

/** An answer that no output has room for is cut as there, so that the turn itself is not forgotten. */
const fitted = (message: PlacedMessage): PlacedMessage => ({ ...message, ...fitMessage(message) })
const bare = ({ id, role, parts }: TurnMessage): TurnMessage => ({ id, role, parts })
const sizeOf = (value: unknown): number => Buffer.byteLength(JSON.stringify(value))
