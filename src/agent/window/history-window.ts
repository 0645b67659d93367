import type { ModelMessage } from 'ai'
import { toModelMessages, turnsOf, windowHistory } from '../history.ts'
import type { AgentTurn, HistoryCounts, HistoryMessage, NewSummary, TurnSummary } from '../turn.ts'
import { sizeOf } from './size.ts'
import { SUMMARY_BYTES } from './summary.ts'
import type { TokenWindow } from './token-window.ts'
import { cutResults } from './tool-results.ts'

/** A payload has room for 50 messages and 120 KiB. From these bounds on, the oldest messages are summarised. */
const MOST_MESSAGES = 40
const MOST_CHARACTERS = 60 * 1024
/** What stays as it is when the rest is summarised, beside the bound of half the prompt. */
const KEPT_MESSAGES = 20
const KEPT_CHARACTERS = 30 * 1024
/** A message of this length leaves no room in the payload for the history, which the next turn has again. */
const LONG_MESSAGE = 16 * 1024

export const SUMMARY_HEADING = '[Summary of the earlier conversation]'

export interface HistoryWindowOptions {
  window: TokenWindow
  /** Characters of the instructions and tools. */
  fixed: number
  /**
   * Writes a summary of messages and of the summary so far; undefined when it could not be written. When the function
   * is absent, no summary is written.
   */
  summarize?:
    | ((
        earlier: TurnSummary | undefined,
        messages: ModelMessage[],
        longest: number,
      ) => Promise<string | undefined>)
    | undefined
}

export interface FittedHistory {
  messages: ModelMessage[]
  counts: HistoryCounts
}

/** One turn of the history and what it is for the model. */
interface Piece {
  messages: HistoryMessage[]
  prompt: ModelMessage[]
  size: number
}

/**
 * Chooses what a prompt tells of the conversation. What does not fit is made shorter in this order: results of tools
 * are cut, the oldest turns are summarised, and turns are left out, oldest first. A second call, with a smaller window,
 * goes on from what the first one has summarised.
 */
export function createHistoryWindow(turn: AgentTurn, { window, fixed, summarize }: HistoryWindowOptions) {
  let history = turn.history
  let summary = turn.summary
  let omitted = turn.omitted ?? 0
  let written: NewSummary | undefined

  const shortened = async (room: number): Promise<Piece[]> => {
    const pieces = await Promise.all(turnsOf(history).map(pieceOf))
    let excess = total(pieces, summary) - room
    return pieces.map((piece) => {
      const { messages: prompt, cut } = cutResults(piece.prompt, excess)
      excess -= cut
      return cut === 0 ? piece : { ...piece, prompt, size: piece.size - cut }
    })
  }

  const summarized = async (pieces: Piece[], room: number, message: number): Promise<Piece[]> => {
    const isTooLong = total(pieces, summary) > room || isNearBounds(pieces)
    const isAfterGap = omitted > 0 && message > LONG_MESSAGE
    if (summarize === undefined || !isTooLong || isAfterGap) return pieces
    const longest = Math.min(SUMMARY_BYTES, Math.floor(Math.max(room, 0) / 4))
    const kept = newest(pieces, Math.min(KEPT_CHARACTERS, (room - longest) / 2))
    const old = pieces.slice(0, pieces.length - kept.length)
    if (old.length === 0 || longest === 0) return pieces
    const text = await summarize(
      summary,
      old.flatMap(({ prompt }) => prompt),
      longest,
    )
    if (text === undefined) return pieces
    const messages = old.flatMap((piece) => piece.messages)
    written = {
      text,
      messages: (summary?.messages ?? 0) + messages.length,
      dropped: (summary?.dropped ?? 0) + omitted,
      through: [messages.at(-1)?.id, old.at(-1)?.messages[0]?.id].filter((id) => id !== undefined),
    }
    summary = written
    omitted = 0
    history = kept.flatMap((piece) => piece.messages)
    return kept
  }

  return {
    async fit(): Promise<FittedHistory> {
      const message = await toModelMessages([turn.message])
      const room = window.room - fixed - sizeOf(message)
      const most = summarize === undefined ? room : Math.min(room, MOST_CHARACTERS - 1)
      const pieces = await summarized(await shortened(most), room, sizeOf(message))
      let told = summary
      let fitting = withinPayload(pieces)
      while (fitting.length > 0 && total(fitting, told) > room) fitting = fitting.slice(1)
      if (total(fitting, told) > room) told = undefined
      const sent = fitting.reduce((sum, piece) => sum + piece.messages.length, 0)
      const known = told === undefined ? 0 : told.messages
      const missed = summary === undefined ? 0 : summary.dropped + summary.messages - known
      return {
        messages: [...summaryMessage(told), ...fitting.flatMap(({ prompt }) => prompt), ...message],
        counts: { sent, summarized: known, dropped: omitted + missed + history.length - sent },
      }
    },
    /** The summary that this turn has written. */
    get written(): NewSummary | undefined {
      return written
    },
  }
}

async function pieceOf(messages: HistoryMessage[]): Promise<Piece> {
  const prompt = await toModelMessages(messages)
  return { messages, prompt, size: sizeOf(prompt) }
}

function total(pieces: Piece[], summary: TurnSummary | undefined): number {
  return pieces.reduce((sum, { size }) => sum + size, sizeOf(summaryMessage(summary)))
}

function summaryMessage(summary: TurnSummary | undefined): ModelMessage[] {
  return summary === undefined ? [] : [{ role: 'user', content: `${SUMMARY_HEADING}\n${summary.text}` }]
}

const countOf = (pieces: Piece[]) => pieces.reduce((sum, { messages }) => sum + messages.length, 0)

function isNearBounds(pieces: Piece[]): boolean {
  return countOf(pieces) >= MOST_MESSAGES || total(pieces, undefined) >= MOST_CHARACTERS
}

/** The newest turns that have room beside a summary. */
function newest(pieces: Piece[], room: number): Piece[] {
  let kept: Piece[] = []
  for (const piece of pieces.toReversed()) {
    const more = [piece, ...kept]
    if (total(more, undefined) > room || countOf(more) > KEPT_MESSAGES) break
    kept = more
  }
  return kept
}

/** The newest turns within the bounds of a payload: turns ahead, which come from the engine, may exceed them. */
function withinPayload(pieces: Piece[]): Piece[] {
  const within = new Set(windowHistory(pieces.flatMap(({ messages }) => messages)))
  return pieces.filter(({ messages: [first] }) => first !== undefined && within.has(first))
}
