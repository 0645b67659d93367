import { Type } from '@sinclair/typebox'
import type { TurnMessage } from '../agent/turn.ts'
import { ConversationId } from './ids.ts'
import { Metadata } from './metadata.ts'
import { RunErrorCode } from './run-fields.ts'
import { oneOf } from './shared.ts'

export const Title = Type.String({ minLength: 1, maxLength: 200, pattern: '\\S' })

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
  {
    $id: 'Conversation',
    description: 'A thread of messages, owned by one user',
    examples: [
      {
        id: '0198c5a2-7d3e-7b1a-9f00-3f2a1c4d5e6f',
        title: 'Arithmetic',
        metadata: {},
        createdAt: '2026-11-23T09:16:00.275Z',
        updatedAt: '2026-11-23T09:16:00.275Z',
        lastActivityAt: '2026-11-23T09:16:02.108Z',
        activeRunId: null,
      },
    ],
  },
)

/** Only described: parts are written as they are stored, with whatever further fields the AI SDK gave them. */
const MessagePart = Type.Object(
  {
    type: Type.String({
      description: '`text`, `reasoning`, `tool-{name}`, `dynamic-tool`, `file`, `source-url`, `step-start` …',
    }),
    text: Type.Optional(Type.String({ description: 'Of `text` and `reasoning`' })),
    state: Type.Optional(
      Type.String({
        description:
          '`done`; of a tool `output-available` with its `output`, or `output-error` with `errorText`',
      }),
    ),
    toolCallId: Type.Optional(Type.String({ description: 'Of a tool' })),
    toolName: Type.Optional(Type.String({ description: 'Of a `dynamic-tool`; otherwise part of `type`' })),
    input: Type.Optional(Type.Unknown({ description: 'Of a tool: what the model passed' })),
    output: Type.Optional(Type.Unknown({ description: 'Of a tool: what came back' })),
    errorText: Type.Optional(Type.String({ description: 'Of a tool that failed' })),
  },
  {
    'x-name': 'MessagePart',
    additionalProperties: true,
    description: 'A part of a message; `type` says which fields it has',
  },
)

const MessageMetadata = Type.Object(
  {
    conversationId: ConversationId,
    runId: Type.Optional(Type.String()),
    status: Type.Optional(oneOf(['failed'])),
    error: Type.Optional(Type.String()),
    errorCode: Type.Optional(RunErrorCode),
  },
  {
    'x-name': 'MessageMetadata',
    description:
      'For chat pages: the metadata that the message has in a stream, and the failure of a failed one. `{id, role, parts, metadata}` is a `UIMessage` of the AI SDK',
  },
)

export const Message = Type.Object(
  {
    id: Type.String(),
    role: oneOf(['user', 'assistant']),
    text: Type.String({ description: 'All text parts joined' }),
    parts: Type.Unsafe<TurnMessage['parts']>({
      type: 'array',
      items: { type: 'object', additionalProperties: true, 'x-document': MessagePart },
      description: 'Parts of the message as the AI SDK’s `UIMessage` has them',
    }),
    status: oneOf(['complete', 'cancelled', 'failed'], {
      'x-name': 'MessageStatus',
      description:
        'Whether the message is whole or partial. A failed run has a message also when it said nothing',
    }),
    error: Type.Optional(Type.String({ description: 'Failed: what happened, in a sentence fit for a user' })),
    errorCode: Type.Optional(RunErrorCode),
    runId: Type.Optional(
      Type.String({
        description: 'The run that the message belongs to; absent for the history that a start brought along',
      }),
    ),
    metadata: MessageMetadata,
    createdAt: Type.String({ format: 'date-time' }),
  },
  {
    $id: 'Message',
    description: 'One message of a conversation',
    examples: [
      {
        id: '0198c5a2-7d3f-7c66-b0a4-91d7be20c355',
        role: 'assistant',
        text: '17 * 23 = 391.',
        parts: [{ type: 'text', text: '17 * 23 = 391.', state: 'done' }],
        status: 'complete',
        runId: 'run_cmwrkineh0003z47dikyv7w07',
        metadata: {
          conversationId: '0198c5a2-7d3e-7b1a-9f00-3f2a1c4d5e6f',
          runId: 'run_cmwrkineh0003z47dikyv7w07',
        },
        createdAt: '2026-11-23T09:16:02.108Z',
      },
    ],
  },
)
