import { type Static, Type } from '@sinclair/typebox'
import { UI_VERSIONS } from '../streams/vocabulary.ts'
import { ConversationId } from './ids.ts'
import { Metadata } from './metadata.ts'
import { leftOutOrNull, MAX_TEXT, oneOf } from './shared.ts'
import { AskedAgent, Context, IfBusy, Limits, ResponseFormat, TurnWebhook } from './turn.ts'

const UiMessage = Type.Object(
  {
    id: Type.Optional(Type.String({ description: "The page's id of a message, or the service's" })),
    role: oneOf(['system', 'user', 'assistant']),
    parts: Type.Array(
      Type.Object(
        { type: Type.String(), text: leftOutOrNull(Type.String({ maxLength: MAX_TEXT })) },
        { additionalProperties: true },
      ),
    ),
  },
  { 'x-name': 'UiMessage', additionalProperties: true, description: 'A `UIMessage` of the AI SDK' },
)

/** Body of a stream: what `useChat` sends, and the options of a start. Other keys are passed over. */
export const StreamBody = Type.Object(
  {
    messages: Type.Array(UiMessage, {
      minItems: 1,
      description:
        'The last one is the message for the agent; or the newest message of the agent, with answers about the tool calls that wait.' +
        ' Then its turn goes on, and nothing else in it counts. In a conversation the stored history counts, and of the earlier messages only their ids and `metadata.conversationId` are read. Without a conversation, the earlier texts of user and assistant begin a new one. Earlier messages are never a reason to refuse a body.',
    }),
    conversationId: leftOutOrNull({
      ...ConversationId,
      description:
        'Id of the conversation. When it is absent, the newest `metadata.conversationId` of `messages` counts, then `id` where it is that of a conversation of yours',
    }),
    id: Type.Optional(
      Type.Unknown({
        description:
          'Id of the chat, which may be that of its conversation. A chat with an id that its page has made for itself alone (`__LOCALID_…`, as assistant-ui does) may cut its list off: that is an edit while no other page or client has gone on',
      }),
    ),
    agent: leftOutOrNull(AskedAgent),
    ifBusy: leftOutOrNull(IfBusy),
    metadata: leftOutOrNull(Metadata),
    context: leftOutOrNull(Context),
    limits: leftOutOrNull(Limits),
    responseFormat: leftOutOrNull(ResponseFormat),
    webhook: leftOutOrNull(TurnWebhook),
    currentPage: Type.Optional(
      Type.Unknown({ description: 'A text becomes the `currentPage` of the context, where that has none' }),
    ),
    trigger: Type.Optional(
      Type.Unknown({
        description:
          '`regenerate-message` asks for another answer to the last message, which is the newest question of the conversation. It is a start where the conversation does not hold the question yet',
      }),
    ),
    messageId: Type.Optional(
      Type.Unknown({
        description:
          'Id of the message that the page has changed: the last message replaces it, and the turns from there on',
      }),
    ),
    approvalResponse: leftOutOrNull(
      Type.Object(
        {
          approvalId: Type.String({
            maxLength: 64,
            description: 'The `actionId`, which is the id of the approval too',
          }),
          approved: Type.Boolean(),
          reason: Type.Optional(Type.String({ maxLength: 500 })),
        },
        { description: 'Answers about a tool call that waits; no turn is started' },
      ),
    ),
    headMessageId: leftOutOrNull(
      Type.String({
        maxLength: 64,
        description:
          'Id of the newest message of the conversation that the page knows of. When the conversation has a newer one, the answer is 409. With it, a list that ends before that message replaces the turns that it leaves out',
      }),
    ),
  },
  {
    $id: 'StreamBody',
    additionalProperties: true,
    description: 'One turn as the AI SDK’s chat transport sends it',
    examples: [
      {
        messages: [{ id: 'm1', role: 'user', parts: [{ type: 'text', text: 'What is 17 * 23?' }] }],
      },
    ],
  },
)

export type StreamBody = Static<typeof StreamBody>

const Ui = Type.Optional(
  Type.Unsafe<'5' | '6' | '7'>({
    type: 'string',
    enum: UI_VERSIONS.map(String),
    'x-name': 'UiVersion',
    description:
      'Major version of the AI SDK that reads the stream, 6 when left out: parts that it does not know are left out or mapped. 7 reads all. With it, a refusal is a plain sentence for people (`text/plain`), unless `Accept` names JSON',
  }),
)

export const StreamQuery = Type.Object({ ui: Ui }, { additionalProperties: false })

export const ResumeQuery = Type.Object(
  {
    ui: Ui,
    startIndex: Type.Optional(
      Type.String({ description: 'Id of the first frame to send; `Last-Event-ID` wins' }),
    ),
  },
  { additionalProperties: false },
)

export const SPINNER =
  '*Swagger UI shows a spinner until the run has ended, then the whole stream at once; use curl to watch it.*'

/** The answer of a stream, for the API description. */
export const STREAM_ANSWER = {
  description:
    'Server-sent events, the UI message stream of the AI SDK: `id: <index>` and `data: <part>`, at the end `data: [DONE]`. ' +
    'Ids count up and may leave gaps. A connection that ends without `[DONE]` was cut: resume it. Comments keep it alive.',
  headers: {
    'X-Run-Id': { type: 'string', description: 'Id of the run; also in the metadata of the `start` part' },
    'X-Conversation-Id': {
      type: 'string',
      description: 'Id of the conversation; also in the metadata of the `start` part',
    },
    'X-Vercel-AI-UI-Message-Stream': { type: 'string', description: '`v1`' },
  },
  content: { 'text/event-stream': { schema: { type: 'string' } } },
}
