import t from 'tap'
import { startService } from '../support/service.ts'

const CHAT = '/api/agent/chat'

t.test('a page whose last answer is repeated while its request is read is told so', async (t) => {
  const service = await startService(t)
  const { messages } = service.app.stores
  const { shown } = messages
  const user = (id: string, text: string) => ({ id, role: 'user', parts: [{ type: 'text', text }] })
  const begun = async () => {
    const { body } = await service.call('POST', `${CHAT}/sync`, { body: { message: 'What is 1 + 1?' } })
    const path = `/api/agent/conversations/${body.conversationId}/messages`
    const stored = async () => (await service.call('GET', path)).body.data
    return { ...body, stored, page: await stored() }
  }
  for (const kind of ['edit', 'append']) {
    const { runId, conversationId, page, stored } = await begun()
    let repeated = ''
    messages.shown = async (...asked) => {
      const state = await shown(...asked)
      repeated = (await service.call('POST', `${CHAT}/${runId}/retry`)).body.runId
      return state
    }
    const text = 'What is 2 + 2?'
    const body =
      kind === 'edit'
        ? { messageId: page[0].id, messages: [user(page[0].id, text)] }
        : { messages: [...page, user('new', text)] }
    const answer = await service.call('POST', `${CHAT}/stream`, { body: { conversationId, ...body } })
    messages.shown = shown
    t.match(answer, { status: 409, body: { code: 'conversation_changed' } }, kind)
    await service.ended(repeated)
    t.match(await stored(), [{ text: 'What is 1 + 1?' }, { runId: repeated, text: '1 + 1 = 2.' }], kind)
  }
})
