import { Type } from '@sinclair/typebox'

/** RFC 9562: versions 1 to 8, nil and max. */
const UUID =
  '^([0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[1-8][0-9a-fA-F]{3}-[89abAB][0-9a-fA-F]{3}-[0-9a-fA-F]{12}|00000000-0000-0000-0000-000000000000|ffffffff-ffff-ffff-ffff-ffffffffffff)$'

const conversationId = { pattern: UUID, 'x-fault': 'must be a UUID' }
const runId = { pattern: '^run_', 'x-fault': 'must begin with "run_"' }

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

/** A stream is asked for by its run or by its conversation. */
export const StreamParams = Type.Object({
  id: Type.String({
    pattern: `^run_|${UUID}`,
    'x-fault': 'must be the id of a run or of a conversation',
    description:
      'The `runId` that a start answered with; or a `conversationId`, which stands for the newest unfinished run of the conversation',
  }),
})
