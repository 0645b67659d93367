import t from 'tap'
import { ready } from '../streams/sse.ts'
import { startEngine, startService } from '../support/service.ts'

t.test('a fork', async (t) => {
  const service = await startService(t, { engine: await startEngine(t) })
  await ready(service)
  const { call } = service
  const turn = async (message: string, conversationId?: string) => {
    const { body } = await call('POST', '/api/agent/chat', { body: { message, conversationId } })
    return (await service.ended(body.runId)).body
  }
  const messagesOf = async (id: string) =>
    (await call('GET', `/api/agent/conversations/${id}/messages`)).body.data
  const fork = (id: string, throughMessageId: string, user = 'alice') =>
    call('POST', `/api/agent/conversations/${id}/fork`, { user, body: { throughMessageId } })

  const { conversationId } = await turn('My name is Ada')
  await turn('What is 1 + 1?', conversationId)
  await turn('[[fail]]', conversationId)
  await call('PATCH', `/api/agent/conversations/${conversationId}`, {
    body: { title: 'Ada', metadata: { a: 'b' } },
  })
  const before = await messagesOf(conversationId)

  t.test('holds copies of the beginning, and goes on by itself', async (t) => {
    const forked = await fork(conversationId, before[1].id.toUpperCase())
    t.match(forked, { status: 201, body: { title: 'Ada', metadata: { a: 'b' }, activeRunId: null } })
    t.equal(forked.headers.get('location'), `/api/agent/conversations/${forked.body.id}`)
    const copies = await messagesOf(forked.body.id)
    const parts = ({ role, text, status, parts, finishReason }: Record<string, unknown>) => ({
      ...{ role, text, status, parts, finishReason },
    })
    t.same(copies.map(parts), before.slice(0, 2).map(parts))
    t.notOk(
      copies.some(
        ({ id, runId }: { id: string; runId?: string }) =>
          runId ?? before.some((m: { id: string }) => m.id === id),
      ),
    )
    t.equal((await turn('What is my name?', forked.body.id)).text, 'Your name is Ada.')
    t.same(await messagesOf(conversationId), before, 'the conversation stays as it is')
    await call('DELETE', `/api/agent/conversations/${forked.body.id}`)
    t.same(await messagesOf(conversationId), before, 'also when the fork is deleted')
  })

  t.test('copies the whole conversation when no message is named, and an empty one too', async (t) => {
    const whole = await call('POST', `/api/agent/conversations/${conversationId}/fork`, { user: 'alice' })
    t.equal(whole.status, 201)
    t.equal((await messagesOf(whole.body.id)).length, before.length)
    const empty = await call('POST', '/api/agent/conversations', { user: 'alice', body: {} })
    const copy = await call('POST', `/api/agent/conversations/${empty.body.id}/fork`, { body: {} })
    t.equal(copy.status, 201)
    t.same(await messagesOf(copy.body.id), [])
  })

  t.test('of a whole conversation, or through a question, is a fork as well', async (t) => {
    const whole = await fork(conversationId, before[5].id)
    t.equal((await messagesOf(whole.body.id)).length, 6)
    const question = await fork(conversationId, before[2].id)
    t.equal((await messagesOf(question.body.id)).length, 3)
    const next = await turn('What was my last question?', question.body.id)
    t.match(next.text, /What is 1 \+ 1/)
    const again = await fork(question.body.id, (await messagesOf(question.body.id))[0].id)
    t.equal((await messagesOf(again.body.id)).length, 1, 'a fork of a fork')
  })

  t.test('through a turn that goes on is refused', async (t) => {
    const { body } = await call('POST', '/api/agent/chat', {
      body: { message: '[[stall-after:3]] story', conversationId },
    })
    const question = (await messagesOf(conversationId)).at(-1)
    t.match(await fork(conversationId, question.id), {
      status: 409,
      body: { code: 'conversation_busy', activeRunId: body.runId },
    })
    t.equal((await fork(conversationId, before[1].id)).status, 201, 'but not one that ends before it')
    await call('POST', `/api/agent/chat/${body.runId}/cancel`)
    t.equal((await fork(conversationId, question.id)).status, 201)
  })

  t.test('belongs to the user, and to the thread', async (t) => {
    t.match(await fork(conversationId, before[1].id, 'eve'), {
      status: 404,
      body: { code: 'conversation_not_found' },
    })
    const other = await turn('hi')
    const foreign = (await messagesOf(other.conversationId))[0]
    t.match(await fork(conversationId, foreign.id), { status: 404, body: { code: 'message_not_found' } })
    await service.ended((await call('POST', `/api/agent/chat/${other.runId}/retry`)).body.runId)
    t.match(await fork(other.conversationId, other.messageId), {
      status: 404,
      body: { code: 'message_not_found' },
    })
    t.match(await fork(conversationId, 'x'), {
      status: 400,
      body: { errors: [{ path: '/throughMessageId' }] },
    })
  })

  t.test('copies a thousand messages at most', async (t) => {
    const history = Array.from({ length: 199 }, (_, n) => ({
      role: n % 2 ? 'assistant' : 'user',
      content: `${n}`,
    }))
    const { body } = await call('POST', '/api/agent/chat', { body: { message: 'hi', history } })
    await service.ended(body.runId)
    const add = `insert into messages (id, conversation_id, position, seq, role, text, parts)
      select gen_random_uuid(), '${body.conversationId}', 0, n, 'user', 'x', '[]' from generate_series(1000, 1799) n`
    const { sql } = await import('kysely')
    await service.app.database.run((db) => sql.raw(add).execute(db))
    const last = (
      await call('GET', `/api/agent/conversations/${body.conversationId}/messages?order=desc&limit=3`)
    ).body.data
    t.match(await fork(body.conversationId, last[0].id), {
      status: 409,
      body: { code: 'conversation_too_long' },
    })
    const forked = await fork(body.conversationId, last[1].id)
    t.equal(forked.status, 201)
  })
})
