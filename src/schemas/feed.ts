import { Type } from '@sinclair/typebox'
import { FEED_EVENTS } from '../stores/feed.ts'

export const FeedHeaders = Type.Object({
  'last-event-id': Type.Optional(
    Type.String({
      description:
        'Id of the last event that you received: the feed goes on with the next one. Leave it out to begin now',
    }),
  ),
})

export const FeedQuery = Type.Object(
  {
    seconds: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: 3600,
        examples: [5],
        description: 'Ends the feed after so many seconds; leave it out to keep it open',
      }),
    ),
  },
  { additionalProperties: false },
)

/** What both feeds say about themselves, for the API description. */
export const FEED_DESCRIPTION = `The first event is \`feed.opened\`. Load what you show after it has come, then apply the events that follow: nothing
falls between the two. After a cut, ask again with the \`id\` of the last event in \`Last-Event-ID\`: the same events follow
in the same order, none twice and none missing. Ids are valid for an hour; later the answer is 410 \`feed_expired\`. Then
load again and begin without an id. Browsers do all of this by themselves with \`EventSource\`, apart from the 410.

Each event is \`{"type", "timestamp", "data"}\`; \`data\` names the conversation, the run and the message, and holds no texts.
Types: ${FEED_EVENTS.map((type) => `\`${type}\``).join(', ')}. More may come.

*Swagger UI shows a feed when it has ended: set \`seconds\`.*`

/** The answer of a feed, for the API description. */
export const FEED_ANSWER = {
  description:
    'Server-sent events: `id: <position>` and `data: <event>`. It goes on until the token ends, and is cut then; with `seconds` it ends before. Comments and ids without data keep it alive.',
  content: { 'text/event-stream': { schema: { type: 'string' } } },
}
