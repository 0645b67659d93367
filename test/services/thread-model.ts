import { answerOf } from '../support/memory-engine.ts'

/** A request in a conversation, and its answer: the status, the code of a refusal, and the new run. */
export type Op = { ifBusy: 'enqueue' | 'reject' | 'interrupt'; text: string } & (
  | { kind: 'send' }
  | { kind: 'retry' | 'cancel'; runId: string }
  | { kind: 'edit'; at: number }
  | { kind: 'fork'; at: number }
  | { kind: 'delete' }
)
export interface Outcome {
  status: number
  code?: string
  runId?: string
}

export interface Turn {
  text: string
  runId: string
  isLive: boolean
  /** Whether the run was started a moment ago and its end is not stored yet. */
  isFresh?: boolean
  isAnswered: boolean
}
/** The turns of a thread. Undefined: the conversation was deleted. */
export type Thread = Turn[] | undefined

export const textsOf = (thread: Turn[]): string[] =>
  thread.flatMap(({ text, runId, isAnswered }) => (isAnswered ? [text, answerOf(runId)] : [text]))
const cancelled = (turn: Turn): Turn => ({ ...turn, isLive: false })

/** The thread after an operation with this outcome; `impossible` when the operation cannot have this outcome. */
export function after(thread: Thread, op: Op, { status, code, runId = '' }: Outcome): Thread | 'impossible' {
  if (thread === undefined) return status === 404 ? thread : 'impossible'
  const isOpen = ({ isLive, isFresh = false }: Turn) => isLive || isFresh
  const live = thread.filter(isOpen)
  const last = thread.at(-1)
  const turn = newTurn(op.text, runId)
  const behind = (kept: Turn[], next: Turn[]) => {
    const rest = op.ifBusy === 'interrupt' ? kept.map(cancelled) : kept
    return status === 503 ? [...rest, ...thread.slice(kept.length).map(cancelled)] : [...rest, ...next]
  }
  const isAccepted = status === 202 || status === 200 || status === 503
  switch (op.kind) {
    case 'delete':
      return status === 204 ? undefined : 'impossible'
    case 'fork':
      if (thread.slice(0, op.at + 1).some(isOpen))
        return status === 409 || status === 404 ? thread : 'impossible'
      return status === (thread[op.at] === undefined ? 404 : 201) || status === 404 ? thread : 'impossible'
    case 'cancel':
      return status === 200
        ? thread.map((one) => (one.runId === op.runId ? cancelled(one) : one))
        : 'impossible'
    case 'send':
      if (op.ifBusy === 'reject' && live.length > 0)
        return code === 'conversation_busy' ? thread : 'impossible'
      return isAccepted ? behind(thread, [turn]) : 'impossible'
    case 'retry':
      if (last?.runId !== op.runId) return code === 'turn_not_last' ? thread : 'impossible'
      if (op.ifBusy !== 'interrupt' && (isOpen(last) || (op.ifBusy === 'reject' && live.length > 0)))
        return code === 'conversation_busy' ? thread : 'impossible'
      return isAccepted ? behind(thread.slice(0, -1), [newTurn(last.text, runId)]) : 'impossible'
    case 'edit':
      if (code === 'conversation_changed') return thread
      if (op.ifBusy === 'reject' && live.length > 0)
        return code === 'conversation_busy' ? thread : 'impossible'
      return isAccepted ? behind(thread.slice(0, op.at), [turn]) : 'impossible'
  }
}

const newTurn = (text: string, runId: string): Turn => ({
  ...{ text, runId },
  isLive: text.includes('hold'),
  isFresh: true,
  isAnswered: !text.includes('hold'),
})
