import { Type } from '@sinclair/typebox'
import type { ModelMessage } from 'ai'
import { FINISH_REASONS } from '../agent/finish-reason.ts'
import { WARNING_CODES } from '../agent/warnings.ts'
import { RUN_ERROR_CODES } from '../run-failures.ts'
import { PendingAction } from './action.ts'
import { AgentName } from './agent.ts'
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
    totalTokens: Type.Integer({ description: 'Input and output' }),
    cachedInputTokens: Type.Optional(
      Type.Integer({
        description: 'Input tokens that the provider had cached; absent when it does not count them',
      }),
    ),
    reasoningTokens: Type.Optional(
      Type.Integer({
        description: 'Output tokens of reasoning; absent when the provider does not count them',
      }),
    ),
    estimated: Type.Optional(
      Type.Boolean({ description: 'True when the provider did not report all of the tokens' }),
    ),
  },
  { 'x-name': 'Usage', description: 'Tokens of all steps of the turn' },
)

const Timings = Type.Object(
  {
    queuedMs: Type.Optional(
      Type.Integer({ description: 'From the creation of the run until the code of the agent began' }),
    ),
    firstTokenMs: Type.Optional(
      Type.Integer({
        description:
          'From when the agent began until the first word of the answer or its reasoning; absent when there was none',
      }),
    ),
    durationMs: Type.Optional(Type.Integer({ description: 'From when the agent began until the end' })),
  },
  { 'x-name': 'Timings', description: 'Milliseconds' },
)

const HistoryCounts = Type.Object(
  {
    sent: Type.Integer({
      description: 'Messages that the prompt had; results of tools may have been shortened',
    }),
    summarized: Type.Integer({ description: 'Messages for which a summary stood' }),
    dropped: Type.Integer({
      description:
        'Messages that the model knew nothing of; at most 500 of those before the ones that the run was sent are counted',
    }),
  },
  { 'x-name': 'HistoryCounts', description: 'What the prompt had of the conversation before the message' },
)

const Warning = Type.Object(
  {
    code: Type.String({
      examples: [...WARNING_CODES],
      description:
        '`mcp_unavailable`: a server of tools could not be reached. `mcp_tool_left_out`: a tool of such a server was left out',
    }),
    message: Type.String({ description: 'A sentence fit for a user' }),
  },
  { 'x-name': 'Warning' },
)

export const FinishReason = oneOf(FINISH_REASONS, {
  'x-name': 'FinishReason',
  description:
    'Why the answer ended: `stop` is its natural end; at `length` the model met its limit of output tokens; `content_filter` is a filter of the provider; at `step_limit` the agent had made as many model calls as it may; at `token_limit` and `time_limit` the answer was cut at a limit of the turn; at `tool_loop` the same tool call had failed three times in a row; at `budget` the run had used up the tokens that were reserved for it; at `action_required` the turn waits for an answer about a tool call; at `steered` a message with `ifBusy: "steer"` has ended the turn between two model calls',
})

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

/** For the description only: a message is written as it is. The document names the parts that the agent writes. */
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

/** Fields of every run beside its id and its status. */
export const known = {
  conversationId: Type.Optional(ConversationId),
  agent: AgentName,
  actor: Type.Optional(
    Type.String({
      description: 'The actors of the token, who called for the user: nearest first, separated by commas',
    }),
  ),
  createdAt: timestamp('When the turn was accepted'),
  metadata: Metadata,
  retryOf: Type.Optional(Type.String({ description: 'The run whose question this run answers again' })),
  supersededBy: Type.Optional(
    Type.String({
      description:
        'The run that has replaced this one in its conversation: a retry, or the run of an edited message',
    }),
  ),
  continues: Type.Optional(
    Type.String({
      description:
        'The run whose turn goes on with this run, because its tool calls were answered. The answer of this run begins with the answer of that one',
    }),
  ),
  continuedBy: Type.Optional(Type.String({ description: 'The run with which the turn of this run goes on' })),
}
export const begun = { startedAt: Type.Optional(timestamp('When the agent began')) }
export const wished = { cancelRequestedAt: Type.Optional(timestamp('When it was asked to cancel the run')) }
export const finishedAt = timestamp('When the run ended')
/** Fields of every run that has ended. */
export const usage = {
  steps: Type.Optional(Type.Integer({ description: 'Calls of the model' })),
  model: Type.Optional(Type.String({ description: 'The model that answered, or was asked last' })),
  usage: Type.Optional(Usage),
  timings: Type.Optional(Timings),
  history: Type.Optional(HistoryCounts),
  warnings: Type.Optional(
    Type.Array(Warning, { description: 'What was missing in a turn that went on without it' }),
  ),
}
export const finish = {
  finishReason: Type.Optional(FinishReason),
  steeredBy: Type.Optional(
    Type.String({
      description: 'The run that goes on with a newer message, when the `finishReason` is `steered`',
    }),
  ),
  pendingActions: Type.Optional(
    Type.Array(ref(PendingAction), {
      description: 'The tool calls for which the turn waits, when its `finishReason` is `action_required`',
    }),
  ),
}
export const failure = {
  error: Type.String({ description: 'What happened, in a sentence fit for a user' }),
  errorCode: RunErrorCode,
  retryable: Type.Boolean({ description: 'Whether the same turn may succeed later' }),
  retryAfter: Type.Optional(
    Type.Integer({
      description: 'Seconds after which the model provider allows another call, when it named a time',
    }),
  ),
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
  description: 'The partial answer; empty when the agent had not written any of it',
})
export const log = {
  text: Type.String({ description: 'The answer: all its text parts joined' }),
  output: Type.Optional(
    Type.Unknown({
      description:
        'The answer as a value, when the turn had a `responseFormat` and no limit has cut the answer',
    }),
  ),
  messages: Type.Array(LogMessage, {
    description: 'The log of the turn: messages of the user, the assistant and its tools, in order',
  }),
  toolCalls: Type.Array(ref(ToolCall), { description: 'Calls of tools, in order' }),
}
