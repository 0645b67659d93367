import t from 'tap'
import { openStream, ready, textOf, userMessage } from '../streams/sse.ts'
import { startService } from '../support/service.ts'

const STREAM = '/api/agent/chat/stream'

interface PageMessage {
  id: string
  role: string
  parts: unknown[]
  metadata?: unknown
}

t.test('a list that was cut off is an edit when the chat that sends it has asked last', async (t) => {
  const service = await startService(t)
  await ready(service)
  let sent = 0

  /** A page whose chat has this id. It sends the messages that it shows, and shows the answer. */
  function chat(id: string) {
    const page = {
      shown: [] as PageMessage[],
      conversationId: '',
      async ask(text: string, extra: object = {}) {
        const messages = [...page.shown, { ...userMessage(text), id: `own${++sent}` }]
        const stream = await openStream(service, STREAM, { body: { id, messages, ...extra } })
        await stream.closed
        const [first] = stream.events
        const answer = {
          id: first?.chunk.messageId,
          role: 'assistant',
          metadata: first?.chunk.messageMetadata,
          parts: [{ type: 'text', text: textOf(stream.events) }],
        }
        page.shown = [...messages, answer]
        page.conversationId = stream.headers.get('x-conversation-id') ?? ''
      },
      cut(length: number) {
        page.shown = page.shown.slice(0, length)
        return page
      },
      refused: (text: string, extra: object = {}) =>
        service.call('POST', STREAM, {
          body: { id, messages: [...page.shown, userMessage(text)], ...extra },
        }),
    }
    return page
  }
  const questions = async (conversationId: string) =>
    (await service.call('GET', `/api/agent/conversations/${conversationId}/messages`)).body.data
      .filter(({ role }: PageMessage) => role === 'user')
      .map(({ text }: { text: string }) => text)

  t.test('also when it shows nothing of the conversation any more', async (t) => {
    const page = chat('__LOCALID_abcdefg')
    await page.ask('one')
    const { conversationId } = page
    await page.ask('two')
    await page.ask('three')
    await page.cut(2).ask('another two')
    t.same(await questions(conversationId), ['one', 'another two'])
    await page.cut(0).ask('another one')
    t.equal(page.conversationId, conversationId)
    t.same(await questions(conversationId), ['another one'])
    await page.cut(0).ask('another one', { trigger: 'regenerate-message' })
    t.same(await questions(conversationId), ['another one'])
    const elsewhere = await service.call('POST', '/api/agent/chat/sync', {
      body: { message: 'of another client', conversationId },
    })
    for (const length of [0, 2]) {
      const cut = chat('__LOCALID_abcdefg')
      cut.shown = page.shown.slice(0, length)
      t.match(await cut.refused('too late'), {
        status: 409,
        body: { code: 'conversation_changed', headMessageId: elsewhere.body.messageId },
      })
    }
    t.same(await questions(conversationId), ['another one', 'of another client'])
  })

  t.test('not when other pages may have the same id', async (t) => {
    for (const id of ['chat-1', 'support', '__LOCALID_']) {
      const page = chat(id)
      await page.ask('one')
      await page.ask('two')
      t.match(
        await page.cut(2).refused('another two'),
        { status: 409, body: { code: 'conversation_changed' } },
        id,
      )
      const { conversationId } = page
      await page.cut(0).ask('another one')
      t.not(page.conversationId, conversationId, 'nothing names the conversation')
    }
  })

  t.test('not when the page names the conversation and sends its message alone', async (t) => {
    const page = chat('__LOCALID_hijklmn')
    await page.ask('one')
    const { conversationId } = page
    await page.cut(0).ask('two', { conversationId })
    t.same(await questions(conversationId), ['one', 'two'])
  })

  t.test('not of a conversation that another user has', async (t) => {
    const page = chat('__LOCALID_opqrstu')
    await page.ask('one')
    const body = { id: '__LOCALID_opqrstu', messages: [userMessage('mine')] }
    const stream = await openStream(service, STREAM, { user: 'bob', body })
    await stream.closed
    t.not(stream.headers.get('x-conversation-id'), page.conversationId)
    t.same(await questions(page.conversationId), ['one'])
  })

  t.test('a first question that is repeated with its key is the same start', async (t) => {
    const before = { id: 'a', role: 'user', parts: [{ type: 'text', text: 'before' }] }
    const messages = [before, userMessage('one')]
    const ask = async () => {
      const headers = { 'idempotency-key': 'own-chat' }
      const stream = await openStream(service, STREAM, {
        headers,
        body: { id: '__LOCALID_cdefghi', messages },
      })
      await stream.closed
      return [stream.status, stream.headers.get('x-run-id'), stream.headers.get('x-conversation-id')]
    }
    t.same(await ask(), await ask())
  })

  t.test('the history that began the conversation cannot be edited', async (t) => {
    const page = chat('__LOCALID_vwxyzab')
    page.shown = [
      { id: 'a', role: 'user', parts: [{ type: 'text', text: 'before' }] },
      { id: 'b', role: 'assistant', parts: [{ type: 'text', text: 'yes' }] },
    ]
    await page.ask('one')
    const { conversationId } = page
    t.match(await page.cut(0).refused('changed'), { status: 400, body: { code: 'edit_unsupported' } })
    page.shown = [
      { id: 'a', role: 'user', parts: [{ type: 'text', text: 'before' }] },
      { id: 'b', role: 'assistant', parts: [{ type: 'text', text: 'yes' }] },
    ]
    await page.ask('another one')
    t.equal(page.conversationId, conversationId)
    t.same(await questions(conversationId), ['before', 'another one'])
  })
})
