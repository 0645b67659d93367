import { isUuid } from '../schemas/ids.ts'
import type { StreamBody } from '../schemas/stream.ts'
import type { Answer, GivenAnswer } from '../services/actions/actions.ts'
import { readAnswer } from './action-answer.ts'

/** What a chat page answers about the tool calls of a message: it sends the message with its answers in it. */
export interface UiAnswer {
  /** The message, where the service has made its id. */
  messageId: string | undefined
  answers: GivenAnswer[]
}

const MOST_ANSWERS = 50

/**
 * Reads the answers of a chat page: those in its last message, when that is the agent's, and `approvalResponse`. Of the
 * message nothing else counts: not its texts, and not the arguments of its calls.
 * @returns undefined when the page asks for a turn
 */
export function uiAnswer({ messages, approvalResponse }: StreamBody): UiAnswer | undefined {
  const last = messages.at(-1)
  const isAgents = last?.role === 'assistant'
  if (approvalResponse === undefined && !isAgents) return undefined
  const given = isAgents ? last.parts.flatMap(answerIn).slice(-MOST_ANSWERS) : []
  if (approvalResponse !== undefined) given.push(...approvalOf(approvalResponse))
  else if (given.length === 0) return undefined
  return { messageId: isUuid(last?.id) ? last.id.toLowerCase() : undefined, answers: given }
}

type Part = Record<string, unknown>

function answerIn(part: Part): GivenAnswer[] {
  const { toolCallId, state, approval, output, errorText, preliminary } = part
  if (typeof toolCallId !== 'string') return []
  if (state === 'approval-responded') return approvalOf(approval)
  if (state === 'output-available' && preliminary !== true)
    return [{ toolCallId, answer: answerOf({ output }) }]
  if (state === 'output-error' && typeof errorText === 'string')
    return [{ toolCallId, answer: answerOf({ error: errorText.slice(0, 1000) || 'The tool failed.' }) }]
  return []
}

function approvalOf(approval: unknown): GivenAnswer[] {
  const { id, approvalId = id, approved, reason } = (approval ?? {}) as Part
  if (!isUuid(approvalId) || typeof approved !== 'boolean') return []
  const why = typeof reason === 'string' && reason !== '' ? { reason: reason.slice(0, 500) } : {}
  return [
    {
      actionId: approvalId.toLowerCase(),
      answer: () => readAnswer({ decision: approved ? 'approve' : 'deny', ...why }),
    },
  ]
}

/** Read when the answer is known to be wanted: the message holds the results of the agent's own tools as well. */
const answerOf = (body: { output: unknown } | { error: string }) => (): Answer =>
  readAnswer('error' in body ? body : { output: body.output ?? null })
