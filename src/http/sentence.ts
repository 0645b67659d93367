import type { FastifyRequest } from 'fastify'
import type { Problem, ProblemCode } from '../errors.ts'
import { UI_VERSIONS } from '../streams/vocabulary.ts'

/**
 * Whether a refusal of a stream is sent as one plain sentence instead of a problem. Every version of the AI SDK shows
 * the whole body of a refusal as `error.message`, and sends nothing that tells it from other callers. So the request
 * decides: its `Accept` names plain text, or its address names the version of the AI SDK that reads the answer.
 * A caller whose `Accept` names JSON gets the problem.
 */
export function wantsSentence({ headers, url, routeOptions }: FastifyRequest): boolean {
  const accept = headers.accept ?? ''
  if (!canBeSentence(routeOptions?.url) || /\bjson\b/i.test(accept)) return false
  // Most refusals come before the query is validated.
  const asked = new URLSearchParams(url.split('?')[1]).getAll('ui').join()
  return /\btext\/plain\b/i.test(accept) || UI_VERSIONS.some((version) => asked === String(version))
}

/** Whether refusals of the route may be sentences: chat pages ask the streams only. */
export const canBeSentence = (route = ''): boolean => route.endsWith('/stream')

/** The sentence about a refusal that the user of a chat page reads. */
export function sentenceOf({ code, message, details }: Problem): string {
  const sentence = SENTENCES[code]
  if (sentence === undefined) return message
  return typeof sentence === 'string' ? sentence : sentence(details.retryAfter ?? 1)
}

const seconds = (count: number) => (count === 1 ? '1 second' : `${count} seconds`)
const AWAY = (wait: number) => `The assistant is not available at the moment. Try again in ${seconds(wait)}.`

/** Other codes have a title or a detail that people understand, or report a fault of the page itself. */
const SENTENCES: Partial<Record<ProblemCode, string | ((retryAfter: number) => string)>> = {
  unauthorized: 'Your session has ended. Sign in again.',
  insufficient_scope: 'You are not allowed to do this.',
  conversation_not_found: 'This conversation does not exist any more.',
  run_not_found: 'This answer does not exist any more.',
  conversation_busy: 'The last message is still being answered. Wait for its end, or stop it.',
  conversation_queue_full:
    'Too many messages are waiting for an answer. Wait for one of them to be answered.',
  conversation_changed:
    'This conversation has gone on elsewhere, or its messages were changed here. Load it again, then send the message once more.',
  turn_not_last:
    'Only the last answer can be made anew, and this conversation has gone on since. Load it again.',
  message_not_found: 'This message does not exist any more.',
  edit_unsupported: 'This message cannot be changed. Send a new message instead.',
  regenerate_unsupported: 'This answer cannot be made anew. Ask again in a new message.',
  stream_expired: 'Load the conversation again to see the answer.',
  payload_too_large: 'This message is too long.',
  engine_payload_too_large: 'This message is too long.',
  rate_limited: (wait) => `Too many messages in a short time. Try again in ${seconds(wait)}.`,
  budget_exhausted: 'The limit for today is reached. Try again tomorrow.',
  internal: 'Something went wrong. Try again later.',
  engine_unavailable: AWAY,
  database_unavailable: AWAY,
  key_set_unavailable: AWAY,
  shutting_down: AWAY,
}
