import { type Static, Type } from '@sinclair/typebox'
import { agents } from '../agents/index.ts'
import type { ProblemCode } from '../errors.ts'
import { AgentName } from './agent.ts'
import { HistoryMessage } from './history.ts'
import { ConversationId } from './ids.ts'
import { Metadata } from './metadata.ts'
import { leftOutOrNull, MAX_TEXT, oneOf } from './shared.ts'

export const AskedAgent = Type.String({
  ...AgentName,
  description:
    'The agent that is asked, one of `GET /api/agent/agents`. The first turn of a conversation decides which agent answers in it: that one when left out, `default` in a new conversation',
})

/** The schema has no `default`, because generators of clients make a field with a default required. */
export const IfBusy = oneOf(['enqueue', 'reject', 'interrupt', 'steer'], {
  'x-name': 'IfBusy',
  description:
    'What to do when the conversation has unfinished runs: `enqueue` (when left out) waits behind them, `reject` answers 409, `interrupt` cancels them and goes on, `steer` ends them before their next model call and goes on with what they have done',
})

/** The schema of the context, where there is one agent. */
function documented([only, ...others]: Array<Record<string, unknown> | undefined>) {
  return only === undefined || others.length > 0 ? {} : { 'x-document': only }
}

/** For the description only: `contextCheck` checks a context by the agent's own schema and the limit of its size. */
export const Context = Type.Unsafe<Record<string, unknown>>({
  type: 'object',
  'x-name': 'Context',
  description:
    'Circumstances of the request for the instructions and tools of the agent, at most 16 KiB as JSON. The model reads only what these pass on; no answer and no list shows the context',
  ...documented(Object.values(agents).map(({ card }) => card.contextSchema)),
})

const bound = (maximum: number, description: string) =>
  leftOutOrNull(Type.Integer({ minimum: 1, maximum, description }))

export const Limits = Type.Object(
  {
    maxSteps: bound(100, 'Calls of the model for the answer. Met: `step_limit`'),
    maxOutputTokens: bound(1_000_000, 'Output tokens of each call of the model. Met: `length`'),
    maxTotalTokens: bound(
      100_000_000,
      'Tokens of the turn, input and output of all calls; estimated while the model writes. Met: `token_limit`',
    ),
    maxSeconds: bound(86_400, 'Seconds from when the agent begins. Met: `time_limit`'),
  },
  {
    'x-name': 'Limits',
    additionalProperties: false,
    description:
      'Bounds of this turn; the lower one of each and of the operator’s own counts. A turn that meets one is `completed`, with the answer as far as it was written, and `finishReason` names the bound',
  },
)

/** The schema in it is checked by `responseFormatCheck`. */
export const ResponseFormat = Type.Object(
  {
    type: oneOf(['json_schema']),
    name: Type.String({
      pattern: '^[A-Za-z0-9_-]{1,64}$',
      'x-fault': 'must have 1 to 64 letters, digits, - or _',
      description: 'A name for the form, which the model reads',
    }),
    schema: Type.Unsafe<Record<string, unknown>>({
      type: 'object',
      properties: { type: oneOf(['object']) },
      required: ['type'],
      additionalProperties: true,
      description:
        'JSON Schema (2020-12) of an object, at most 16 KiB as JSON. `$ref` leads to a place in the schema itself, and never in a circle',
    }),
  },
  {
    'x-name': 'ResponseFormat',
    additionalProperties: false,
    description:
      'The answer is one JSON object that fits the schema: `output` of the run. An answer that does not fit is repaired once; then the run fails with `output_invalid`',
  },
)

/** The operator decides to which origins webhooks may go: `webhookCheck`. */
export const TurnWebhook = Type.Object(
  {
    url: Type.String({
      minLength: 1,
      maxLength: 2_048,
      description: 'Of an origin that the operator allows',
    }),
  },
  {
    additionalProperties: false,
    'x-name': 'TurnWebhook',
    description:
      'Where the end of the run is reported, by Standard Webhooks: the events `run.completed`, `run.failed` and `run.cancelled`',
  },
)

/** Body of start and sync. */
export const TurnBody = Type.Object(
  {
    message: Type.String({
      minLength: 1,
      maxLength: MAX_TEXT,
      pattern: '\\S',
      description: "The user's message, stored as sent",
    }),
    history: leftOutOrNull(
      Type.Array(HistoryMessage, {
        maxItems: 200,
        description:
          'Earlier messages for a new conversation, for example the `messages` of a poll; ignored with `conversationId`',
      }),
    ),
    conversationId: leftOutOrNull(
      Type.String({
        ...ConversationId,
        description: 'The conversation to go on with; a new one when left out',
      }),
    ),
    agent: leftOutOrNull(AskedAgent),
    ifBusy: leftOutOrNull(IfBusy),
    metadata: leftOutOrNull(Metadata),
    context: leftOutOrNull(Context),
    limits: leftOutOrNull(Limits),
    responseFormat: leftOutOrNull(ResponseFormat),
    webhook: leftOutOrNull(TurnWebhook),
  },
  {
    $id: 'TurnBody',
    additionalProperties: false,
    description: 'One turn: a message for the agent',
    // The only example: it works as it is.
    examples: [{ message: 'What is 17 * 23?' }],
  },
)

export type TurnBody = Static<typeof TurnBody>

export const IdempotencyHeaders = Type.Object({
  'idempotency-key': Type.Optional(
    Type.String({
      minLength: 1,
      maxLength: 257,
      pattern: '^("[^"]{1,255}"|[^"]{1,255})$',
      'x-fault': 'must have 1 to 255 characters, bare or in quotes',
      description:
        'Any string of your own, such as a UUID. Makes a retry safe: the same key and turn give the first answer again',
    }),
  ),
})

/** Headers of every answer that tells of a started run, for the API description. */
export const STARTED_HEADERS = {
  Location: { type: 'string', description: 'Where to poll the run' },
  'Idempotency-Replayed': {
    type: 'string',
    enum: ['true'],
    description: 'The key was known: this is the first answer again',
  },
}

/** The refusals that start, sync and stream have in common. */
export const TURN_PROBLEMS = [
  'conversation_not_found',
  'agent_unknown',
  'agent_mismatch',
  'conversation_busy',
  'conversation_queue_full',
  'idempotency_in_progress',
  'engine_payload_too_large',
  'idempotency_key_mismatch',
  'budget_exhausted',
  'engine_refused',
  'engine_unavailable',
  'database_unavailable',
] as const satisfies ProblemCode[]
