import { isUnfinished, withEarlier } from './thread.mjs'

/** What a person does on the page. Each deed is one request, after which the page loads what has become of it. */
export function deedsOf(session) {
  const { api, state, attempt, set } = session

  /** Sends a start of a turn, and shows the conversation that it belongs to. @returns whether it was accepted */
  async function begin(send) {
    set({ isSending: true, problem: undefined })
    const isAccepted = await attempt(async () => {
      const { conversationId, runId } = await send()
      if (conversationId === undefined)
        throw new Error(`The conversation could not be stored. The run ${runId} goes on.`)
      set({ announcement: 'The agent is working.' })
      if (conversationId === state.conversationId) await session.loadOpen()
      else await session.open(conversationId)
    })
    set({ isSending: false })
    return isAccepted
  }

  return {
    ask: (message, ifBusy) => begin(() => api.start('/api/agent/chat', startBody(state, message, ifBusy))),

    retry: (runId) => begin(() => api.start(`/api/agent/chat/${runId}/retry`, {})),

    /** Replaces a question and everything after it. The answer is followed like that of any other run. */
    edit: (messageId, text) =>
      begin(async () => {
        const body = {
          conversationId: state.conversationId,
          messageId,
          headMessageId: state.thread.messages.at(-1).id,
          messages: [{ id: messageId, role: 'user', parts: [{ type: 'text', text }] }],
        }
        const { headers, body: answer } = await api.start('/api/agent/chat/stream?ui=7', body, api.open)
        await answer.cancel()
        return { runId: headers.get('x-run-id'), conversationId: headers.get('x-conversation-id') }
      }),

    stop: () =>
      attempt(async () => {
        const run = state.thread?.runs.findLast(isUnfinished)
        if (run === undefined) return
        await api.call('POST', `/api/agent/chat/${run.runId}/cancel`)
        await session.loadOpen()
      }),

    decide: (action, runId, decision) =>
      attempt(async () => {
        await api.call('POST', `/api/agent/chat/${runId}/actions/${action.actionId}`, { body: decision })
        await session.loadOpen()
      }),

    fork: (throughMessageId) =>
      attempt(async () => {
        const path = `/api/agent/conversations/${state.conversationId}/fork`
        const { id } = await api.call('POST', path, { body: { throughMessageId } })
        await session.open(id)
        await session.reload()
      }),

    rename: (title) =>
      attempt(async () => {
        await api.call('PATCH', `/api/agent/conversations/${state.conversationId}`, { body: { title } })
        await session.reload()
      }),

    remove: () =>
      attempt(async () => {
        await api.call('DELETE', `/api/agent/conversations/${state.conversationId}`)
        await session.open(undefined)
        await session.reload()
      }),

    showEarlier: () =>
      attempt(async () => {
        set({ thread: await withEarlier(api, state.thread) })
      }),

    showMoreConversations: () =>
      attempt(async () => {
        const cursor = encodeURIComponent(state.moreConversations)
        const { data, nextCursor } = await api.get(`/api/agent/conversations?limit=50&cursor=${cursor}`)
        set({ conversations: [...state.conversations, ...data], moreConversations: nextCursor })
      }),
  }
}

/** The body of the start that the page sends for this message. */
export const startBody = ({ conversationId }, message, ifBusy) => ({
  message,
  ...(conversationId === undefined ? {} : { conversationId }),
  ...(ifBusy === 'enqueue' ? {} : { ifBusy }),
})
