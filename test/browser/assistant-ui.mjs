// A chat page of assistant-ui, made of its primitives as its documentation has them. Its runtime says nothing but where
// the service is and who asks. With `edits` in the address it also says which message is the newest one that it knows.
// The address remembers the conversation, and a page that is loaded with one begins with its messages.
import {
  ActionBarPrimitive,
  AssistantRuntimeProvider,
  ComposerPrimitive,
  ErrorPrimitive,
  MessagePrimitive,
  ThreadPrimitive,
  useAuiState,
} from '@assistant-ui/react'
import { AssistantChatTransport, useChatRuntime } from '@assistant-ui/react-ai-sdk'
import { createElement as h } from 'react'
import { createRoot } from 'react-dom/client'

const settings = new URLSearchParams(location.hash.slice(1))
const service = settings.get('service')
const headers = { authorization: `Bearer ${settings.get('token')}` }

let headMessageId
function remember({ messages }) {
  const last = messages.at(-1)
  // The page makes the ids of its questions itself. The id of an answer is the service's.
  if (last?.role !== 'assistant') return
  headMessageId = last.id
  settings.set('conversationId', last.metadata.conversationId)
  history.replaceState(null, '', `#${settings}`)
}

const transport = new AssistantChatTransport({
  api: `${service}/api/agent/chat/stream?ui=${settings.get('ui')}`,
  headers,
  ...(settings.has('edits') ? { body: () => ({ headMessageId }) } : {}),
})

const Text = ({ text }) => text
const parts = h(MessagePrimitive.Parts, { components: { Text } })

const UserMessage = () =>
  h(
    MessagePrimitive.Root,
    null,
    h('p', { className: 'user' }, parts),
    h(ActionBarPrimitive.Edit, { className: 'edit' }, 'Edit'),
  )

const EditComposer = () =>
  h(
    ComposerPrimitive.Root,
    { className: 'editor' },
    h(ComposerPrimitive.Input),
    h(ComposerPrimitive.Send, null, 'Save'),
  )

/** Why a loaded answer has failed. */
const Failure = () => {
  const error = useAuiState((state) => state.message.metadata.custom.error)
  return error && h('p', { className: 'error' }, error)
}

const AssistantMessage = () =>
  h(
    MessagePrimitive.Root,
    null,
    h('p', { className: 'assistant' }, parts),
    h(Failure),
    h(
      MessagePrimitive.Error,
      null,
      h(ErrorPrimitive.Root, { className: 'error' }, h(ErrorPrimitive.Message)),
    ),
    h(ActionBarPrimitive.Reload, { className: 'again' }, 'Again'),
  )

const Status = () =>
  h('p', { id: 'status' }, useAuiState((state) => state.thread.isRunning) ? 'busy' : 'ready')

function Chat({ messages }) {
  const runtime = useChatRuntime({ messages, transport, onFinish: remember })
  return h(
    AssistantRuntimeProvider,
    { runtime },
    h(
      ThreadPrimitive.Root,
      null,
      h(Status),
      h(ThreadPrimitive.Messages, { components: { UserMessage, EditComposer, AssistantMessage } }),
      h(
        ComposerPrimitive.Root,
        { id: 'composer' },
        h(ComposerPrimitive.Input),
        h(ComposerPrimitive.Send, null, 'Send'),
      ),
    ),
  )
}

async function load() {
  const conversationId = settings.get('conversationId')
  if (conversationId === null) return []
  const url = `${service}/api/agent/conversations/${conversationId}/messages?order=desc&limit=100`
  const { data } = await (await fetch(url, { headers })).json()
  const messages = data.reverse().map(({ id, role, parts, metadata }) => ({ id, role, parts, metadata }))
  headMessageId = messages.at(-1)?.id
  return messages
}

createRoot(document.getElementById('root')).render(h(Chat, { messages: await load() }))
