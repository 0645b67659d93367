// A chat page as the AI SDK's documentation has it, for any of its major versions. The conversation was created
// before, and its id is that of the chat: so the address at which the transport looks for a stream to resume exists.
import { useChat } from '@ai-sdk/react'
import { DefaultChatTransport } from 'ai'
import { createElement as h, useState } from 'react'
import { createRoot } from 'react-dom/client'

const { service, token, conversationId, query } = Object.fromEntries(
  new URLSearchParams(location.hash.slice(1)),
)
const headers = { authorization: `Bearer ${token}` }
const api = `${service}/api/agent/chat/stream`
const transport = new DefaultChatTransport({
  api: `${api}${query}`,
  headers,
  body: { conversationId },
  // A page without a query needs none of this.
  ...(query && { prepareReconnectToStreamRequest: ({ id }) => ({ api: `${api}/${id}/stream${query}` }) }),
})

function Chat({ stored }) {
  const [input, setInput] = useState('')
  const { messages, sendMessage, status, error } = useChat({
    id: conversationId,
    messages: stored,
    resume: true,
    transport,
  })
  const submit = (event) => {
    event.preventDefault()
    sendMessage({ text: input })
    setInput('')
  }
  const textOf = ({ parts }) => parts.map((part) => (part.type === 'text' ? part.text : '')).join('')
  return h(
    'form',
    { onSubmit: submit },
    h('p', { id: 'status' }, error ? `error: ${error.message}` : status),
    messages.map((message) =>
      h('p', { key: message.id, id: message.id, className: message.role }, textOf(message)),
    ),
    h('input', { value: input, onChange: (event) => setInput(event.target.value) }),
  )
}

const response = await fetch(`${service}/api/agent/conversations/${conversationId}/messages`, { headers })
const stored = (await response.json()).data.map(({ id, role, parts }) => ({ id, role, parts }))
createRoot(document.getElementById('root')).render(h(Chat, { stored }))
