// Plays the pieces of docs/pages.md in a browser. Each piece is a function of the names that a page has around it.
import { AssistantRuntimeProvider } from '@assistant-ui/react'
import { DefaultChatTransport } from 'ai'
import pieces from 'pieces'
import { createElement as h } from 'react'
import { useChat as chatHook } from 'real-react'
import { mounted } from './pieces-hooks.mjs'

const { service, token } = globalThis.settings
const api = `${service}/api/agent/chat/stream?ui=7`
const headers = { authorization: `Bearer ${token}` }
const requests = []
const alerts = []
globalThis.alert = (text) => alerts.push(text)

// The gateway of the page's own, which the guide speaks of: it knows the service by name, and adds the token.
const send = globalThis.fetch
globalThis.fetch = (url, init = {}) => {
  const sent = new Headers(init.headers)
  const { authorization = null } = Object.fromEntries(sent)
  requests.push({ url: String(url), method: init.method ?? 'GET', authorization, body: init.body })
  if (authorization === null) sent.set('authorization', headers.authorization)
  return send(String(url).replace('https://agent.example.com', service), { ...init, headers: sent })
}

const call = async (path, body, method = body === undefined ? 'GET' : 'POST') => {
  const type = body === undefined ? {} : { 'content-type': 'application/json' }
  const text = body === undefined ? {} : { body: JSON.stringify(body) }
  const answer = await send(`${service}/api/agent${path}`, {
    method,
    headers: { ...headers, ...type },
    ...text,
  })
  return answer.json()
}
const ask = (message, more = {}) => call('/chat/sync', { message, ...more })
const story = (more = {}) => call('/chat', { message: 'Tell me a story of 90 sentences', ...more })
const messagesOf = async (id) => (await call(`/conversations/${id}/messages`)).data
const bodies = () => requests.filter(({ method }) => method === 'POST').map(({ body }) => JSON.parse(body))

const transport = new DefaultChatTransport({ api, headers })
const chat = (options) => mounted(chatHook, { transport, ...options })
const textOf = ({ parts }) => parts.map(({ text = '' }) => text).join('')
const toMessage = ({ id, role, parts, metadata }) => ({ id, role, parts, metadata })
const question = (text) => ({ id: 'q-1', role: 'user', parts: [{ type: 'text', text }] })

/** What a transport's own chat says after a question. */
async function answerOf(transport, messages = []) {
  const page = chat({ transport, messages })
  await page.now.sendMessage({ text: 'What is 2 + 3?' })
  return textOf(page.now.messages.at(-1))
}

const scenes = {
  async headers(play) {
    const { transport } = await play({ freshToken: async () => token })
    return {
      answer: await answerOf(transport),
      authorization: requests.at(-1).authorization === headers.authorization,
    }
  },
  async short(play) {
    const { transport } = await play({ api })
    const earlier = Array.from({ length: 20 }, (_, at) => ({ ...question(`Line ${at}`), id: `q-${at}` }))
    const answer = await answerOf(transport, earlier)
    return { answer, sent: bodies().at(-1).messages.length }
  },
  async loading(play) {
    const { conversationId } = await ask('What is 2 + 3?')
    let page
    const useChat = (options) => {
      page = chat(options)
      return page.now
    }
    const { stored } = await play({ conversationId, useChat, transport })
    const all = (await messagesOf(conversationId)).map(toMessage)
    return { stored, all, shown: page.now.messages.map(textOf) }
  },
  async reconnecting(play) {
    const { conversationId, runId } = await story()
    const { transport } = await play({ api })
    const stream = await transport.reconnectToStream({ chatId: conversationId, headers })
    const { value } = await stream.getReader().read()
    await call(`/chat/${runId}/cancel`, {})
    return { url: requests.at(-1).url.replace(conversationId, '{id}').replace(service, ''), type: value.type }
  },
  async stop(play) {
    const page = chat({})
    const asked = page.now.sendMessage({ text: 'Tell me a story of 90 sentences' })
    await page.until(
      ({ messages }) => textOf(messages.at(-1) ?? { parts: [] }).length > 20 && messages.length === 2,
    )
    const { runId } = page.now.messages.at(-1).metadata
    await play({ messages: page.now.messages, stop: page.now.stop })
    await asked
    await page.until(({ status }) => status === 'ready')
    return { runIs: (await call(`/chat/${runId}?wait=30`)).status }
  },
  async busy(play) {
    const { conversationId, runId } = await story()
    const page = chat({ id: conversationId })
    const { transport } = await play({ api, text: 'What is 2 + 3?', sendMessage: page.now.sendMessage })
    await page.until(({ status, messages }) => status === 'ready' && messages.length === 2)
    const forOne = bodies().at(-1).ifBusy
    await answerOf(transport)
    const cancelled = (await call(`/chat/${runId}?wait=30`)).status
    return { cancelled, answer: textOf(page.now.messages.at(-1)), forOne, forAll: bodies().at(-1).ifBusy }
  },
  async errors(play) {
    const { transport, codeOf } = await play({ api })
    const page = chat({ transport })
    await page.now.sendMessage({ text: 'Hi' }, { body: { conversationId: crypto.randomUUID() } })
    await page.until(({ status }) => status === 'error')
    return {
      code: codeOf(page.now.error),
      other: String(codeOf(new Error('The provider is limiting requests.'))),
    }
  },
  async hook(play) {
    const { conversationId, runId, pendingActions } = await ask('[[approve-and-ask]] Send it')
    const messages = (await messagesOf(conversationId)).map(toMessage)
    const { actionId } = pendingActions.find(({ kind }) => kind === 'approval')
    const { toolCallId } = pendingActions.find(({ kind }) => kind === 'tool_result')
    globalThis.around = { id: conversationId, messages }
    await play({ transport, actionId, toolCallId })
    await globalThis.around.page.until(
      ({ status, messages }) => status === 'ready' && messages.at(-1).metadata.runId !== runId,
    )
    const parts = globalThis.around.page.now.messages.at(-1).parts.filter(({ toolCallId }) => toolCallId)
    const { continuedBy } = await call(`/chat/${runId}`)
    const states = Object.fromEntries(parts.map(({ type, state, output }) => [type, { state, output }]))
    return { states, continued: (await call(`/chat/${continuedBy}`)).status }
  },
  async approval(play) {
    const { runId, pendingActions } = await ask('Send Ada a note: lunch at one')
    const [{ actionId }] = pendingActions
    const first = await (await play({ runId, actionId })).answer.json()
    const denied = await ask('Send Eve a note: lunch at two')
    const path = `/chat/${denied.runId}/actions/${denied.pendingActions[0].actionId}`
    await call(path, { decision: 'deny' })
    const late = await play({ runId: denied.runId, actionId: denied.pendingActions[0].actionId })
    return { first: first.status, late: late.answer.status, alerts }
  },
  async edit(play) {
    const first = await ask('What is 2 + 3?')
    const { conversationId } = first
    const messages = (await messagesOf(conversationId)).map(toMessage)
    const page = chat({ id: conversationId, messages })
    const values = { text: 'What is 3 + 4?', messageId: messages[0].id, messages }
    await play({ ...values, sendMessage: page.now.sendMessage })
    await page.until(({ status, messages }) => status === 'ready' && /7/.test(textOf(messages.at(-1))))
    const texts = (await messagesOf(conversationId)).map(({ text }) => text)
    const stale = chat({ id: conversationId, messages })
    await play({ ...values, sendMessage: stale.now.sendMessage })
    await stale.until(({ status }) => status === 'error')
    return {
      texts,
      stale: (await messagesOf(conversationId)).map(({ text }) => text),
      error: stale.now.error.message,
    }
  },
  async assistantUi(play) {
    const { conversationId } = await ask('My name is Ada.')
    const stored = (await messagesOf(conversationId)).map(toMessage)
    globalThis.around = { wrap: (runtime) => h(AssistantRuntimeProvider, { runtime }) }
    await play({ stored, freshToken: async () => token })
    const { page } = globalThis.around
    await page.until((runtime) => runtime.thread.getState().messages.length === stored.length)
    page.now.thread.append('What is my name?')
    await page.until(({ thread }) => {
      const { messages, isRunning } = thread.getState()
      return !isRunning && messages.length === stored.length + 2
    })
    return { texts: (await messagesOf(conversationId)).map(({ text }) => text) }
  },
}

globalThis.names = Object.keys(scenes)
globalThis.play = (name) =>
  scenes[name]((values) => pieces[globalThis.names.indexOf(name)]({ api, service, headers, ...values }))
