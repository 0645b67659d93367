// A chat page that lets a person answer the tool calls that wait, as the AI SDK's documentation has it.
import { useChat } from '@ai-sdk/react'
import {
  DefaultChatTransport,
  lastAssistantMessageIsCompleteWithApprovalResponses,
  lastAssistantMessageIsCompleteWithToolCalls,
} from 'ai'
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
  const { messages, sendMessage, addToolApprovalResponse, addToolOutput, status, error } = useChat({
    ...(conversationId === null ? {} : { id: conversationId, messages: stored }),
    resume: true,
    transport,
    sendAutomaticallyWhen: (chat) =>
      lastAssistantMessageIsCompleteWithApprovalResponses(chat) ||
      lastAssistantMessageIsCompleteWithToolCalls(chat),
  })
  const { conversationId: current } = messages.findLast(({ metadata }) => metadata)?.metadata ?? {}
  useEffect(() => {
    if (current === undefined) return
    settings.set('conversationId', current)
    history.replaceState(null, '', `#${settings}`)
  }, [current])
  const call = (part) => {
    const { toolCallId, state, approval } = part
    const decide = (approved) => () => addToolApprovalResponse({ id: approval.id, approved })
    const choose = (choice) => () => addToolOutput({ tool: 'choose_option', toolCallId, output: { choice } })
    return h(
      'span',
      { key: toolCallId, className: 'call' },
      `${part.type} ${state} ${JSON.stringify(part.output ?? {})}`,
      state === 'approval-requested' &&
        h('button', { type: 'button', className: 'approve', onClick: decide(true) }, 'Yes'),
      state === 'approval-requested' &&
        h('button', { type: 'button', className: 'deny', onClick: decide(false) }, 'No'),
      state === 'input-available' &&
        part.type === 'tool-choose_option' &&
        (part.input.options ?? []).map((option) =>
          h('button', { key: option, type: 'button', className: 'choose', onClick: choose(option) }, option),
        ),
    )
  }
  return h(
    'div',
    null,
    h('p', { id: 'status' }, status),
    h('p', { id: 'error' }, error?.message),
    messages.map((message) =>
      h(
        'div',
        { key: message.id },
        h('p', { className: message.role }, textOf(message)),
        message.parts.filter(({ type }) => type.startsWith('tool-')).map(call),
      ),
    ),
    h(
      'form',
      {
        onSubmit: (event) => {
          event.preventDefault()
          sendMessage({ text: input })
          setInput('')
        },
      },
      h('input', { value: input, onChange: (event) => setInput(event.target.value) }),
    ),
  )
}

async function load() {
  if (conversationId === null) return []
  const url = `${service}/api/agent/conversations/${conversationId}/messages?order=desc&limit=100`
  const { data } = await (await fetch(url, { headers })).json()
  return data.reverse().map(({ id, role, parts, metadata }) => ({ id, role, parts, metadata }))
}

createRoot(document.getElementById('root')).render(h(Chat, { stored: await load() }))
