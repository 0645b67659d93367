import { Type } from '@sinclair/typebox'
import type { TurnMessage } from '../agent/turn.ts'
import { ConversationId } from './ids.ts'
import { Metadata } from './metadata.ts'
import { FinishReason, RunErrorCode } from './run-fields.ts'
import { oneOf } from './shared.ts'

export const Title = Type.String({ minLength: 1, maxLength: 200, pattern: '\\S' })

export const Conversation = Type.Object(
  {
    id: ConversationId,
    title: Type.String(),
    metadata: Metadata,
    agent: Type.Optional(
      Type.String({ description: 'The agent that answers here; absent until the first turn decides that' }),
    ),
    createdAt: Type.String({ format: 'date-time' }),
    updatedAt: Type.String({ format: 'date-time' }),
    lastActivityAt: Type.String({ format: 'date-time', description: 'When a turn last began or ended' }),
    expiresAt: Type.Optional(
      Type.String({
        format: 'date-time',
        description:
          'When the conversation is deleted, unless a turn begins or ends in it before; absent where conversations are kept',
      }),
    ),
    activeRunId: Type.Unsafe<string | null>({
      type: ['string', 'null'],
      description: 'The oldest unfinished run',
    }),
    summary: Type.Optional(
      Type.String({
        description:
          'What the agent is told instead of the oldest messages, which stay readable; absent in lists, and while there is none',
      }),
    ),
    summarizedThrough: Type.Optional(
      Type.String({ description: 'Id of the last message for which the summary stands' }),
    ),
  },
  {
    $id: 'Conversation',
    description: 'A thread of messages, owned by one user',
    examples: [
      {
        id: '0198c5a2-7d3e-7b1a-9f00-3f2a1c4d5e6f',
        title: 'Arithmetic',
        metadata: {},
        agent: 'default',
        createdAt: '2026-11-23T09:16:00.275Z',
        updatedAt: '2026-11-23T09:16:00.275Z',
        lastActivityAt: '2026-11-23T09:16:02.108Z',
        activeRunId: null,
      },
    ],
  },
)

/** For the description only: parts are written as they are stored, with all further fields of the AI SDK. */
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
    finishReason: Type.Optional(FinishReason),
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
        'Whether the message is whole or partial. A failed run has a message even without any text',
    }),
    error: Type.Optional(Type.String({ description: 'Failed: what happened, in a sentence fit for a user' })),
    errorCode: Type.Optional(RunErrorCode),
    finishReason: Type.Optional(FinishReason),
    superseded: Type.Optional(
      Type.Boolean({
        description:
          'True for a message that has left the thread: its answer was asked for again, or its turn was replaced. Only with `include=superseded`',
      }),
    ),
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
        finishReason: 'stop',
        runId: 'run_cmwrkineh0003z47dikyv7w07',
        metadata: {
          conversationId: '0198c5a2-7d3e-7b1a-9f00-3f2a1c4d5e6f',
          runId: 'run_cmwrkineh0003z47dikyv7w07',
          finishReason: 'stop',
        },
        createdAt: '2026-11-23T09:16:02.108Z',
      },
    ],
  },
)
