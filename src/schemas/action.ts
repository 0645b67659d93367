import { type Static, Type } from '@sinclair/typebox'
import { ConversationId, RunId } from './ids.ts'
import { leftOutOrNull, oneOf } from './shared.ts'

const time = (description: string) => Type.String({ format: 'date-time', description })

const pending = {
  actionId: Type.String({ format: 'uuid', description: 'Id of the call for its answer' }),
  toolCallId: Type.String(),
  toolName: Type.String(),
  args: Type.Unknown({ description: 'What the model passed. The tool is executed with these arguments' }),
  kind: oneOf(['approval', 'tool_result'], {
    'x-name': 'ActionKind',
    description:
      '`approval`: somebody agrees or denies, and the agent executes the tool. `tool_result`: the caller executes the tool and sends the result',
  }),
  message: Type.Optional(Type.String({ description: 'A sentence of the tool for the person who decides' })),
  createdAt: time('When the agent made the call'),
  expiresAt: time('When an unanswered call counts as denied'),
}

export const PendingAction = Type.Object(pending, {
  $id: 'PendingAction',
  description: 'A tool call for which a turn waits',
})

export const Action = Type.Object(
  {
    ...pending,
    runId: RunId,
    conversationId: Type.Optional(ConversationId),
    userId: Type.Optional(Type.String({ description: 'The user of the run, when that is not the caller' })),
  },
  { $id: 'Action', description: 'A tool call for which a run waits' },
)

export const ActionParams = Type.Object({
  runId: Type.String({
    pattern: '^run_',
    'x-fault': 'must begin with "run_"',
    description: 'The run that waits',
  }),
  actionId: Type.String({ ...ConversationId, description: 'The `actionId` of one of its `pendingActions`' }),
})

/** Exactly one of `decision`, `output` and `error` is sent; the route checks that. */
export const ActionBody = Type.Object(
  {
    decision: leftOutOrNull(
      oneOf(['approve', 'deny'], { description: 'Of an approval: whether the tool is executed' }),
    ),
    reason: leftOutOrNull(
      Type.String({
        maxLength: 500,
        description: 'Why, for the model and for the record; with a decision only',
      }),
    ),
    output: Type.Optional(
      Type.Unknown({ description: 'Of a tool of the caller: what it has returned, at most 64 KiB as JSON' }),
    ),
    error: leftOutOrNull(
      Type.String({
        minLength: 1,
        maxLength: 1000,
        description: 'Of a tool of the caller: the sentence with which it has failed',
      }),
    ),
  },
  {
    $id: 'ActionBody',
    additionalProperties: false,
    description: 'An answer about a tool call: exactly one of `decision`, `output` and `error`',
    examples: [{ decision: 'approve' }],
  },
)

export type ActionBody = Static<typeof ActionBody>

export const ACTION_RESULTS = ['approved', 'denied', 'answered', 'expired'] as const

export const ActionDecided = Type.Object(
  {
    actionId: Type.String({ format: 'uuid' }),
    runId: RunId,
    status: oneOf(ACTION_RESULTS, { 'x-name': 'ActionResult', description: 'What was decided' }),
    decidedAt: time('When it was decided'),
    decidedBy: Type.Optional(
      Type.String({
        description: 'The user who decided; absent when the call was denied for another reason',
      }),
    ),
    pending: Type.Integer({ description: 'How many calls of the turn still wait' }),
    continuedBy: Type.Optional(
      Type.String({ description: 'The run with which the turn goes on, once it has begun' }),
    ),
  },
  { $id: 'ActionDecided', description: 'What was decided about a tool call' },
)
