import { Type } from '@sinclair/typebox'
import type { ModelMessage } from 'ai'
import { RUN_ERROR_CODES } from '../services/end/run-failures.ts'
import { ConversationId } from './ids.ts'
import { Metadata } from './metadata.ts'
import { oneOf, ref } from './shared.ts'

export const RUN_STATUSES = ['queued', 'running', 'completed', 'failed', 'cancelled'] as const

export const RunStatus = oneOf(RUN_STATUSES, {
  'x-name': 'RunStatus',
  description: '`queued` and `running` are unfinished; the others are final',
})

export const RunErrorCode = oneOf(RUN_ERROR_CODES, {
  'x-name': 'RunErrorCode',
  description: 'Why a run failed',
})

const timestamp = (description: string) => Type.String({ format: 'date-time', description })

const Usage = Type.Object(
  {
    inputTokens: Type.Integer(),
    outputTokens: Type.Integer(),
    totalTokens: Type.Integer(),
    estimated: Type.Optional(Type.Boolean({ description: 'The provider did not report all of them' })),
  },
  { 'x-name': 'Usage', description: 'Tokens of all steps of the turn' },
)

export const Queue = Type.Object(
  {
    position: Type.Integer({ minimum: 0, description: '0: next to run' }),
    ahead: Type.Array(Type.String(), { description: 'Runs of the conversation in front, oldest first' }),
  },
  { 'x-name': 'Queue', description: 'Place of a queued run in its conversation' },
)

export const ToolCall = Type.Object(
  {
    toolCallId: Type.String(),
    toolName: Type.String(),
    args: Type.Unknown({ description: 'What the model passed' }),
    result: Type.Optional(
      Type.Unknown({ description: 'What came back; `{error}` when the call failed or was cut off' }),
    ),
  },
  { $id: 'ToolCall', description: 'One call of a tool by the agent' },
)

/** Written as it is; the document describes the parts that the agent's messages have. */
const LogMessage = Type.Unsafe<ModelMessage>({
  type: 'object',
  additionalProperties: true,
  properties: { role: { type: 'string' } },
  'x-document': Type.Object(
    {
      role: oneOf(['user', 'assistant', 'tool']),
      content: Type.Array(
        Type.Object(
          {
            type: Type.String({ description: '`text`, `reasoning`, `tool-call`, `tool-result` …' }),
            text: Type.Optional(Type.String({ description: 'Of `text` and `reasoning`' })),
            toolCallId: Type.Optional(Type.String({ description: 'Of `tool-call` and `tool-result`' })),
            toolName: Type.Optional(Type.String({ description: 'Of `tool-call` and `tool-result`' })),
            input: Type.Optional(Type.Unknown({ description: 'Of `tool-call`: what the model passed' })),
            output: Type.Optional(
              Type.Object(
                { type: Type.String(), value: Type.Optional(Type.Unknown()) },
                { additionalProperties: true, description: 'Of `tool-result`: what came back' },
              ),
            ),
          },
          { 'x-name': 'ModelMessagePart', additionalProperties: true },
        ),
      ),
    },
    {
      'x-name': 'ModelMessage',
      additionalProperties: true,
      description: 'A `ModelMessage` of the AI SDK: what the model read or wrote',
    },
  ),
})

/** What is known of every run, beside its id and its status. */
export const known = {
  conversationId: Type.Optional(ConversationId),
  createdAt: timestamp('When the turn was accepted'),
  metadata: Metadata,
}
export const begun = { startedAt: Type.Optional(timestamp('When the agent began')) }
export const wished = { cancelRequestedAt: Type.Optional(timestamp('When it was asked to cancel the run')) }
export const finishedAt = timestamp('When the run ended')
export const usage = { usage: Type.Optional(Usage) }
export const failure = {
  error: Type.String({ description: 'What happened, in a sentence fit for a user' }),
  errorCode: RunErrorCode,
  retryable: Type.Boolean({ description: 'Whether the same turn may succeed later' }),
}
export const said = {
  messageId: Type.Optional(
    Type.String({
      description:
        "Id of the answer's message, the same in the stream and in the conversation; absent when the agent said nothing",
    }),
  ),
  truncated: Type.Optional(Type.Boolean({ description: 'A part of the answer is lost' })),
}
export const partialText = Type.String({
  description: 'What there was of the answer; empty when there was nothing',
})
export const log = {
  text: Type.String({ description: 'The answer: all its text parts joined' }),
  messages: Type.Array(LogMessage, {
    description: 'The log of the turn: messages of the user, the assistant and its tools, in order',
  }),
  toolCalls: Type.Array(ref(ToolCall), { description: 'Calls of tools, in order' }),
}
