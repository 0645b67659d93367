import { cutJson, fitMessage } from '../../agent/output.ts'
import {
  type AgentTurn,
  type Continuation,
  type HistoryMessage,
  payloadVersion,
  type ResponseFormat,
  type TurnCaller,
  type TurnLimits,
  type TurnMessage,
  type TurnOrigin,
  type TurnSummary,
} from '../../agent/turn.ts'
import { problem } from '../../errors.ts'

/** Trigger.dev needs an object store for payloads of 128 KiB and more. */
export const MAX_PAYLOAD_BYTES = 120 * 1024
export const MAX_HISTORY_MESSAGES = 50

/** What a payload is made of. `history` comes from the database or from the request, oldest message first. */
export interface PayloadParts {
  turnId: string
  conversationId: string | null
  agent?: string | undefined
  message: TurnMessage
  assistantMessageId: string
  history: PlacedMessage[]
  ahead: PlacedRun[]
  traceparent?: string | undefined
  caller?: TurnCaller | undefined
  context?: Record<string, unknown> | undefined
  origin?: TurnOrigin | undefined
  limits?: TurnLimits | undefined
  responseFormat?: ResponseFormat | undefined
  /** What the conversation keeps for its prompts; null when no run has measured a prompt yet. */
  window?: ConversationWindow | null | undefined
  /** Messages before `history` that the summary does not stand for. */
  omitted?: number | undefined
  budget?: AgentTurn['budget'] | undefined
  continues?: Continuation | undefined
}

type PlacedMessage = HistoryMessage & { position: number }

/** The conversation's summary and its ratio of characters to tokens. */
export interface ConversationWindow {
  summary?: TurnSummary
  charactersPerToken?: number
}

/** A run of the engine and its turn's place in the conversation. */
export interface PlacedRun {
  runId: string
  position: number
}

/**
 * Builds the payload of a run: the message, the summary of the conversation, then the newest whole turns of history that
 * fit. Older messages are not measured once the room is used up.
 * @throws Problem `engine_payload_too_large` when the message and what was asked beside it alone do not fit
 */
export function buildPayload(parts: PayloadParts, { largePayloads }: { largePayloads: boolean }): AgentTurn {
  const bare = bareTurn(parts)
  if (sizeOf(bare) > MAX_PAYLOAD_BYTES && !largePayloads) {
    if (parts.continues === undefined) throw problem('engine_payload_too_large')
    return shortened(parts, bare)
  }
  return withHistory(parts, bare)
}

/** The turn without its history. */
function bareTurn(parts: PayloadParts): AgentTurn {
  const { turnId, conversationId, agent, assistantMessageId, origin, window } = parts
  const { traceparent, caller, context, limits, responseFormat, budget, continues } = parts
  const { charactersPerToken } = window ?? {}
  const optional = present({
    ...{
      agent,
      traceparent,
      origin,
      caller,
      context,
      limits,
      responseFormat,
      budget,
      charactersPerToken,
      continues,
    },
  })
  return {
    version: payloadVersion(optional),
    turnId,
    conversationId,
    message: bareMessage(parts.message),
    history: [],
    ahead: parts.ahead.map(({ runId }) => runId),
    aheadAfter: parts.ahead.map(() => MAX_HISTORY_MESSAGES),
    assistantMessageId,
    ...optional,
  }
}

function withHistory(parts: PayloadParts, bare: AgentTurn): AgentTurn {
  const { window, omitted = 0 } = parts
  const turn = withSummary(bare, window?.summary)
  const history = newestTurns(parts.history, MAX_PAYLOAD_BYTES - sizeOf(turn))
  const standBefore = (run: PlacedRun) => history.filter(({ position }) => position < run.position).length
  const missing = (turn.omitted ?? 0) + omitted + parts.history.length - history.length
  return {
    ...turn,
    history: history.map(bareMessage),
    aheadAfter: parts.ahead.map(standBefore),
    ...(missing === 0 ? {} : { omitted: missing }),
  }
}

/** The turn with the summary, or with the number of the messages for which it stands, where there is no room for it. */
function withSummary(turn: AgentTurn, summary: TurnSummary | undefined): AgentTurn {
  if (summary === undefined) return turn
  const { text, messages, dropped } = summary
  const summarized = { ...turn, summary: { text, messages, dropped } }
  return sizeOf(summarized) > MAX_PAYLOAD_BYTES ? { ...turn, omitted: messages + dropped } : summarized
}

function present<Fields extends object>(
  fields: Fields,
): { [Name in keyof Fields]?: NonNullable<Fields[Name]> } {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as never
}

/** The newest whole turns that fit into `room` bytes, oldest first. */
function newestTurns(history: PlacedMessage[], room: number): PlacedMessage[] {
  const kept: PlacedMessage[] = []
  let left = room
  for (let end = history.length; end > 0; ) {
    const begin = beginOfTurn(history, end)
    if (begin === undefined || kept.length + end - begin > MAX_HISTORY_MESSAGES) break
    const turn = history.slice(begin, end).map(fitted)
    left -= sizeOf(turn.map(bareMessage))
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

/** Cuts a long answer as the output of a run is cut, so that its turn still fits into the history. */
const fitted = (message: PlacedMessage): PlacedMessage => ({ ...message, ...fitMessage(message) })
/** The message as the worker takes it. A complete answer has no status. */
const bareMessage = ({ id, role, parts, status }: HistoryMessage): HistoryMessage => ({
  id,
  role,
  parts,
  ...(status === undefined || status === 'complete' ? {} : { status }),
})
const sizeOf = (value: unknown): number => Buffer.byteLength(JSON.stringify(value))

/** Bytes that the parts of a continuation may have, when all of them together have no room. */
const SHARES = { message: 16 * 1024, outputs: 20 * 1024, answer: 24 * 1024 }

/** The answer so far, cut. The calls about which was decided always stay, because the worker executes only calls of it. */
function fittedAnswer(message: TurnMessage, decided: Set<string>): TurnMessage {
  const isDecided = (part: TurnMessage['parts'][number]) =>
    'toolCallId' in part && decided.has(part.toolCallId)
  const calls = message.parts.filter(isDecided)
  const fitted = fitMessage(message, SHARES.answer)
  if (fitted.parts.filter(isDecided).length === calls.length) return fitted
  return fitMessage({ ...message, parts: calls }, SHARES.answer)
}

/**
 * A continuation that would be too large for a payload. The arguments of its calls stay whole: texts and results are cut.
 * There is no room for a history.
 */
function shortened(parts: PayloadParts, bare: AgentTurn): AgentTurn {
  const { continues, history, omitted = 0 } = parts
  if (continues === undefined) return bare
  const { actions, message } = continues
  const longest = Math.floor(SHARES.outputs / Math.max(1, actions.length))
  return {
    ...bare,
    message: fitMessage(bare.message, SHARES.message),
    continues: {
      ...continues,
      message: fittedAnswer(message, new Set(actions.map(({ toolCallId }) => toolCallId))),
      actions: actions.map((action) =>
        'output' in action ? { ...action, output: cutJson(action.output, longest) } : action,
      ),
    },
    aheadAfter: bare.ahead.map(() => 0),
    omitted: omitted + history.length,
  }
}
