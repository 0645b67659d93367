import { type Static, Type } from '@sinclair/typebox'
import { MAX_TEXT, oneOf } from './shared.ts'

const Content = Type.Unsafe<string | Array<Record<string, unknown>>>({
  type: ['string', 'array'],
  maxLength: MAX_TEXT,
  items: { type: 'object', properties: { type: { type: 'string' } }, required: ['type'] },
  description:
    'A text; or parts as the `messages` of a poll have them: `text`, `reasoning`, `file`, `tool-call`, `tool-result`',
})

/** One message of the history that a start brings along. */
export const HistoryMessage = Type.Object(
  {
    role: oneOf(['user', 'assistant', 'tool']),
    content: Content,
    providerOptions: Type.Optional(Type.Unknown({ description: 'Ignored' })),
  },
  { 'x-name': 'HistoryMessage', additionalProperties: false },
)

export type HistoryMessage = Static<typeof HistoryMessage>
