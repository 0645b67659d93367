// A chat page as the AI SDK's documentation has it, for any of its major versions. It says nothing to the transport
// but where the service is and who asks. The address of the page remembers the conversation, which the first answer
// names; a page that is loaded with one begins with its messages and resumes an answer that is being written.
import { useChat } from '@ai-sdk/react'
import { DefaultChatTransport } from 'ai'
import { createElement as h, useEffect, useState } from 'react'
import { createRoot } from 'react-dom/client'

const settings = new URLSearchParams(location.hash.slice(1))
const service = settings.get('service')
const conversationId = settings.get('conversationId')
const headers = { authorization: `Bearer ${settings.get('token')}` }
const transport = new DefaultChatTransport({
  api: `${service}/api/agent/chat/stream?ui=${settings.get('ui')}`,
  headers,
})

const textOf = ({ parts }) => parts.map((part) => (part.type === 'text' ? part.text : '')).join('')

function Chat({ stored }) {
  const [input, setInput] = useState('')
  const { messages, sendMessage, stop, status, error } = useChat({
    ...(conversationId === null ? {} : { id: conversationId, messages: stored }),
    resume: true,
    transport,
  })
  const { conversationId: current, runId } = messages.findLast(({ metadata }) => metadata)?.metadata ?? {}
  useEffect(() => {
    if (current === undefined) return
    settings.set('conversationId', current)
    history.replaceState(null, '', `#${settings}`)
  }, [current])

  const submit = (event) => {
    event.preventDefault()
    sendMessage({ text: input })
    setInput('')
  }
  // `stop` alone only closes the page's connection: the run goes on.
  const stopForReal = async () => {
    await fetch(`${service}/api/agent/chat/${runId}/cancel`, { method: 'POST', headers })
    stop()
  }
  return h(
    'form',
    { onSubmit: submit },
    h('p', { id: 'status' }, status),
    error && h('p', { id: 'error' }, error.message),
    messages.map((message) =>
      h(
        'p',
        { key: message.id, className: message.role },
        textOf(message),
        message.metadata?.error && h('em', null, message.metadata.error),
      ),
    ),
    h('input', { value: input, onChange: (event) => setInput(event.target.value) }),
    h('button', { type: 'button', onClick: stopForReal }, 'Stop'),
  )
}

async function load() {
  if (conversationId === null) return []
  const url = `${service}/api/agent/conversations/${conversationId}/messages?order=desc&limit=100`
  const { data } = await (await fetch(url, { headers })).json()
  return data.reverse().map(({ id, role, parts, metadata }) => ({ id, role, parts, metadata }))
}

createRoot(document.getElementById('root')).render(h(Chat, { stored: await load() }))
