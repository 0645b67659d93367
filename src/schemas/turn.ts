import { type Static, Type } from '@sinclair/typebox'
import type { ProblemCode } from '../errors.ts'
import { ConversationId } from './ids.ts'
import { Metadata } from './metadata.ts'
import { leftOutOrNull, oneOf } from './shared.ts'

export const MAX_TEXT = 100_000

/** Without a `default`: generators make fields that have one required. */
export const IfBusy = oneOf(['enqueue', 'reject', 'interrupt'], {
  'x-name': 'IfBusy',
  description:
    'What to do when the conversation has unfinished runs: `enqueue` (when left out) waits behind them, `reject` answers 409, `interrupt` cancels them and goes on',
})

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
      Type.Array(
        Type.Object(
          { role: oneOf(['user', 'assistant']), content: Type.String({ maxLength: MAX_TEXT }) },
          { 'x-name': 'HistoryMessage', additionalProperties: false },
        ),
        {
          maxItems: 200,
          description: 'Earlier messages for a new conversation; ignored with `conversationId`',
        },
      ),
    ),
    conversationId: leftOutOrNull(
      Type.String({
        ...ConversationId,
        description: 'The conversation to go on with; a new one when left out',
      }),
    ),
    ifBusy: leftOutOrNull(IfBusy),
    metadata: leftOutOrNull(Metadata),
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

/** What may become of a turn that is started, in whichever way. */
export const TURN_PROBLEMS = [
  'conversation_not_found',
  'conversation_busy',
  'conversation_queue_full',
  'idempotency_in_progress',
  'engine_payload_too_large',
  'idempotency_key_mismatch',
  'engine_refused',
  'engine_unavailable',
  'database_unavailable',
] as const satisfies ProblemCode[]
