import { type Fault, problem } from '../errors.ts'
import type { StreamBody } from '../schemas/stream.ts'
import { MAX_TEXT } from '../schemas/turn.ts'
import type { TurnRequest } from '../services/start/new-turn.ts'

type UiMessage = StreamBody['messages'][number]

const MAX_HISTORY = 200

/**
 * The turn that a chat page asks for: its last message, which must be a user's text.
 * @throws Problem `invalid_request`, `regenerate_unsupported`
 */
export function turnOf(body: StreamBody): TurnRequest {
  const { messages, conversationId, ifBusy, metadata, trigger } = body
  if (trigger === 'regenerate-message') throw problem('regenerate_unsupported')
  const place = messages.length - 1
  const last = messages[place]
  if (last?.role !== 'user') throw invalid([{ path: `/messages/${place}/role`, message: 'must be user' }])
  const faults = last.parts.flatMap((part, index) =>
    part.type === 'text' || part.type.startsWith('data-')
      ? []
      : [
          {
            path: `/messages/${place}/parts/${index}`,
            message: 'must be a text: the agent reads no other part',
          },
        ],
  )
  const message = textOf(last)
  if (faults.length === 0 && !/\S/.test(message))
    faults.push({ path: `/messages/${place}/parts`, message: 'must hold a text that is not blank' })
  if (message.length > MAX_TEXT)
    faults.push({ path: `/messages/${place}/parts`, message: `must have at most ${MAX_TEXT} characters` })
  if (faults.length > 0) throw invalid(faults)
  return {
    message,
    ...(conversationId === undefined ? { history: historyOf(messages.slice(0, -1)) } : { conversationId }),
    ...(ifBusy === undefined ? {} : { ifBusy }),
    ...(metadata === undefined ? {} : { metadata }),
  }
}

/** The newest texts; what is neither the user's nor the assistant's is not part of a conversation here. */
function historyOf(messages: UiMessage[]): NonNullable<TurnRequest['history']> {
  return messages
    .flatMap((message) => {
      const content = textOf(message).slice(0, MAX_TEXT)
      return message.role === 'system' || content === '' ? [] : [{ role: message.role, content }]
    })
    .slice(-MAX_HISTORY)
}

const textOf = ({ parts }: UiMessage): string =>
  parts.flatMap((part) => (part.type === 'text' && part.text !== undefined ? [part.text] : [])).join('\n')

const invalid = (errors: Fault[]) => problem('invalid_request', { members: { errors } })
