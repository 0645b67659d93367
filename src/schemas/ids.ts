import { Type } from '@sinclair/typebox'

/** The UUIDs of RFC 9562: versions 1 to 8, nil and max. */
const UUID =
  '^([0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[1-8][0-9a-fA-F]{3}-[89abAB][0-9a-fA-F]{3}-[0-9a-fA-F]{12}|00000000-0000-0000-0000-000000000000|ffffffff-ffff-ffff-ffff-ffffffffffff)$'

const conversationId = { pattern: UUID, 'x-fault': 'must be a UUID' }
const runId = { pattern: '^run_', 'x-fault': 'must begin with "run_"' }
const uuid = new RegExp(UUID)

/** Whether the value has the form of a conversation's or a message's id. */
export const isUuid = (value: unknown): value is string => typeof value === 'string' && uuid.test(value)

export const ConversationId = Type.String({ ...conversationId, description: 'Id of a conversation' })
export const RunId = Type.String({ ...runId, description: 'Id of a run, as Trigger.dev gave it' })

/** Parameters of a path have no example: an invented id would be answered with 404. */
export const RunParams = Type.Object({
  runId: Type.String({ ...runId, description: 'The `runId` that a start answered with' }),
})

export const ConversationParams = Type.Object({
  id: Type.String({
    ...conversationId,
    description: 'The `id` of a conversation that was created, or the `conversationId` of a start',
  }),
})

const STREAM_ID = `^run_|${UUID}`
const streamId = new RegExp(STREAM_ID)

/** Whether a text has the form of a run's or a conversation's id. */
export const isStreamId = (text: string): boolean => streamId.test(text)

/** The id in the address of a stream: that of a run or of a conversation. */
export const StreamParams = Type.Object({
  id: Type.String({
    pattern: STREAM_ID,
    'x-fault': 'must be the id of a run or of a conversation',
    description:
      'The `runId` that a start answered with; or a `conversationId`, which stands for the newest unfinished run of the conversation',
  }),
})

/** The id in the address that the AI SDK builds: that of its chat, which may be any text. */
export const ChatParams = Type.Object({
  id: Type.String({
    minLength: 1,
    description:
      'Id of the chat: the `runId` that a start answered with, or the `id` of a conversation, names its stream. Any other text stands for a chat without a stream',
  }),
})
