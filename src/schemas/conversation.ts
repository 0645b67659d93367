import { Type } from '@sinclair/typebox'
import type { TurnMessage } from '../agent/turn.ts'
import { RUN_ERROR_CODES } from '../services/end/run-failures.ts'
import { ConversationId } from './ids.ts'
import { Metadata } from './metadata.ts'
import { oneOf } from './shared.ts'

export const Title = Type.String({ minLength: 1, maxLength: 200, pattern: '\\S', examples: ['Arithmetic'] })

export const Conversation = Type.Object(
  {
    id: ConversationId,
    title: Type.String(),
    metadata: Metadata,
    createdAt: Type.String({ format: 'date-time' }),
    updatedAt: Type.String({ format: 'date-time' }),
    lastActivityAt: Type.String({ format: 'date-time', description: 'When a turn last began or ended' }),
    expiresAt: Type.Optional(
      Type.String({
        format: 'date-time',
        description: 'When it is deleted unless something happens in it; absent where conversations are kept',
      }),
    ),
    activeRunId: Type.Unsafe<string | null>({
      type: ['string', 'null'],
      description: 'The oldest unfinished run',
    }),
  },
  { $id: 'Conversation', description: 'A thread of messages, owned by one user' },
)

export const Message = Type.Object(
  {
    id: Type.String(),
    role: oneOf(['user', 'assistant']),
    text: Type.String({ description: 'All text parts joined' }),
    parts: Type.Unsafe<TurnMessage['parts']>({
      type: 'array',
      items: { type: 'object', additionalProperties: true },
      description: 'AI SDK UI message parts',
    }),
    status: oneOf(['complete', 'cancelled', 'failed'], {
      description:
        'Whether the message is whole or partial. A failed run has a message also when it said nothing',
    }),
    error: Type.Optional(Type.String({ description: 'Failed: what happened, in a sentence fit for a user' })),
    errorCode: Type.Optional(oneOf(RUN_ERROR_CODES, { description: 'Failed: which kind' })),
    runId: Type.Optional(
      Type.String({ description: 'The run that it belongs to; absent for seeded history' }),
    ),
    metadata: Type.Object(
      {
        conversationId: ConversationId,
        runId: Type.Optional(Type.String()),
        status: Type.Optional(oneOf(['failed'])),
        error: Type.Optional(Type.String()),
        errorCode: Type.Optional(oneOf(RUN_ERROR_CODES)),
      },
      {
        description:
          'For chat pages: the metadata that the message has in a stream, and the failure of a failed one. `{id, role, parts, metadata}` is a UIMessage of the AI SDK',
      },
    ),
    createdAt: Type.String({ format: 'date-time' }),
  },
  { $id: 'Message' },
)
