/** Runs whose place in the queue is asked for. */
const MAX_POLLED = 5

export const isUnfinished = ({ status }) => status === 'queued' || status === 'running'

/**
 * Loads a conversation with its newest messages and runs.
 * @param known the thread as it is shown, whose earlier messages are kept
 */
export async function loadThread(api, id, known) {
  const [conversation, messages, runs] = await Promise.all([
    api.get(`/api/agent/conversations/${id}`),
    api.get(`/api/agent/conversations/${id}/messages?order=desc&limit=100`),
    api.get(`/api/agent/chat?conversationId=${id}&limit=100`),
  ])
  const waiting = runs.data.filter(({ status }) => status === 'queued').slice(-MAX_POLLED)
  const polled = await Promise.all(waiting.map(({ runId }) => api.get(`/api/agent/chat/${runId}`)))
  return {
    id,
    conversation,
    messages: messages.data.reverse(),
    earlier: known?.earlier ?? [],
    cursor: known === undefined ? messages.nextCursor : known.cursor,
    runs: runs.data.map((run) => polled.find(({ runId }) => runId === run.runId) ?? run),
  }
}

/** The thread with the messages before those that it has. */
export async function withEarlier(api, thread) {
  const path = `/api/agent/conversations/${thread.id}/messages?order=desc&limit=100`
  const { data, nextCursor } = await api.get(`${path}&cursor=${encodeURIComponent(thread.cursor)}`)
  return { ...thread, earlier: [...data.reverse(), ...thread.earlier], cursor: nextCursor }
}

/**
 * What the page shows of a thread, from top to bottom: messages, and runs that have no answer yet, each behind its
 * question. A run that answers a question again, or goes on with an answer, stands at the end.
 */
export function blocksOf({ earlier, messages, runs }) {
  const byId = new Map(runs.map((run) => [run.runId, run]))
  const left = new Map(runs.filter(isUnfinished).map((run) => [run.runId, run]))
  const newest = new Set(messages.map(({ id }) => id))
  const blocks = []
  for (const message of [...earlier.filter(({ id }) => !newest.has(id)), ...messages]) {
    // An answer keeps its key when it is stored, so what a person has unfolded stays unfolded.
    const key = message.role === 'assistant' ? (message.runId ?? message.id) : message.id
    const going = message.role === 'assistant' ? left.get(message.runId) : undefined
    blocks.push({
      key,
      role: message.role,
      message: going ? undefined : message,
      run: byId.get(message.runId),
    })
    if (going !== undefined) left.delete(going.runId)
    const run = message.role === 'user' ? left.get(message.runId) : undefined
    if (run === undefined || run.continues !== undefined) continue
    left.delete(run.runId)
    blocks.push({ key: run.runId, role: 'assistant', run })
  }
  // The list of runs begins with the newest one.
  for (const run of [...left.values()].reverse()) blocks.push({ key: run.runId, role: 'assistant', run })
  return blocks
}

/** The sentence by which a screen reader tells that a run has ended. */
export function announced({ messages }, { runId, status, error, finishReason }) {
  if (status === 'failed') return `The run has failed. ${error}`
  if (finishReason === 'action_required') return 'The agent waits for your decision about a tool.'
  const text = messages.find((message) => message.runId === runId && message.role === 'assistant')?.text ?? ''
  return status === 'cancelled' ? 'The run was cancelled.' : `The agent has answered: ${text}`
}
