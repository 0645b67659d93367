import { type Static, Type } from '@sinclair/typebox'
import { UI_VERSIONS } from '../streams/vocabulary.ts'
import { ConversationId } from './ids.ts'
import { Metadata } from './metadata.ts'
import { oneOf } from './shared.ts'
import { IfBusy, MAX_TEXT } from './turn.ts'

const UiMessage = Type.Object(
  {
    role: oneOf(['system', 'user', 'assistant']),
    parts: Type.Array(
      Type.Object(
        { type: Type.String(), text: Type.Optional(Type.String({ maxLength: MAX_TEXT })) },
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
        'The last one is the message for the agent. With a `conversationId` the stored history counts; without one, the earlier texts of user and assistant begin the new conversation.',
    }),
    conversationId: Type.Optional(ConversationId),
    ifBusy: Type.Optional(IfBusy),
    metadata: Type.Optional(Metadata),
    trigger: Type.Optional(
      Type.String({ description: '`regenerate-message` is refused: conversations only grow' }),
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
      'Major version of the AI SDK that reads the stream, 6 when left out: parts that it does not know are left out or mapped',
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
