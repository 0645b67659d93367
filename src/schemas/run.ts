import { type Static, Type } from '@sinclair/typebox'
import type { ModelMessage } from 'ai'
import { RUN_ERROR_CODES } from '../services/end/run-failures.ts'
import { ConversationId, RunId } from './ids.ts'
import { Metadata } from './metadata.ts'
import { oneOf, ref } from './shared.ts'

export const RUN_STATUSES = ['queued', 'running', 'completed', 'failed', 'cancelled'] as const

const timestamp = (description: string) => Type.String({ format: 'date-time', description })

export const Usage = Type.Object(
  {
    inputTokens: Type.Integer(),
    outputTokens: Type.Integer(),
    totalTokens: Type.Integer(),
    estimated: Type.Optional(Type.Boolean({ description: 'The provider did not report all of them' })),
  },
  { description: 'Tokens of all steps of the turn' },
)

const summary = {
  runId: RunId,
  status: oneOf(RUN_STATUSES),
  conversationId: Type.Optional(ConversationId),
  createdAt: timestamp('When the turn was accepted'),
  startedAt: Type.Optional(timestamp('When the agent began')),
  finishedAt: Type.Optional(timestamp('When the run ended')),
  cancelRequestedAt: Type.Optional(timestamp('When somebody asked to cancel it')),
  metadata: Metadata,
  error: Type.Optional(Type.String({ description: 'Failed: what happened, in a sentence fit for a user' })),
  errorCode: Type.Optional(oneOf(RUN_ERROR_CODES, { description: 'Failed: which kind' })),
  retryable: Type.Optional(Type.Boolean({ description: 'Failed: whether the same turn may succeed later' })),
  usage: Type.Optional(Usage),
}

export const RunSummary = Type.Object(summary, {
  $id: 'RunSummary',
  description: 'A run without its contents',
})

export const ToolCall = Type.Object(
  {
    toolCallId: Type.String(),
    toolName: Type.String(),
    args: Type.Unknown({ description: 'What the model passed' }),
    result: Type.Optional(
      Type.Unknown({ description: 'What came back; `{error}` when it failed or was cut off' }),
    ),
  },
  { $id: 'ToolCall' },
)

/** The body of a poll, and of everything else that answers with a run. */
export const Run = Type.Object(
  {
    ...summary,
    queue: Type.Optional(
      Type.Object(
        {
          position: Type.Integer({ minimum: 0, description: '0: next to run' }),
          ahead: Type.Array(Type.String(), {
            description: 'Runs of the conversation in front, oldest first',
          }),
        },
        { description: 'Queued: its place in the conversation' },
      ),
    ),
    messageId: Type.Optional(
      Type.String({
        description:
          "Finished: the id of the answer's message, the same as in the stream and in the conversation; absent when nothing was said",
      }),
    ),
    text: Type.Optional(
      Type.String({ description: 'Completed: the answer. Failed, cancelled: what there was of it' }),
    ),
    messages: Type.Optional(
      Type.Array(
        Type.Unsafe<ModelMessage>({
          type: 'object',
          additionalProperties: true,
          properties: { role: { type: 'string' } },
        }),
        {
          description:
            "Completed: the turn's log as AI SDK model messages: user, assistant and tool messages",
        },
      ),
    ),
    toolCalls: Type.Optional(Type.Array(ref(ToolCall), { description: 'Completed: tool calls in order' })),
    truncated: Type.Optional(Type.Boolean({ description: 'A part of the answer is lost' })),
  },
  { $id: 'Run', description: 'One turn of the agent' },
)

/** Headers of every answer that holds a run, for the API description. */
export const RUN_HEADERS = {
  ETag: { type: 'string', description: 'Changes with the body' },
  'Retry-After': { type: 'integer', description: 'Unfinished: seconds until the next poll' },
}

export const RunStarted = Type.Object(
  {
    runId: RunId,
    status: oneOf(['queued']),
    conversationId: Type.Optional(
      Type.String({
        description:
          'Absent when the conversation could not be stored, the run goes on all the same; and in a replay once it was deleted',
      }),
    ),
  },
  { $id: 'RunStarted', description: 'The run was accepted' },
)

export type RunStarted = Static<typeof RunStarted>
