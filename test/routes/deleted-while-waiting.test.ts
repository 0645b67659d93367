import t from 'tap'
import { ENDLESS } from '../services/instances.ts'
import { until } from '../services/rows.ts'
import { openStream, typesOf } from '../streams/sse.ts'
import { createDatabase } from '../support/postgres.ts'
import { startEngine, startService } from '../support/service.ts'

const CHAT = '/api/agent/chat'
const DELETED = {
  status: 404,
  body: { code: 'run_not_found', detail: /^The conversation of this run was deleted/ },
}

t.test('a request that waits for a run whose conversation is deleted', async (t) => {
  const engine = await startEngine(t)
  const databaseUrl = await createDatabase(t)
  const service = await startService(t, { engine, databaseUrl })
  const other = await startService(t, { engine, databaseUrl })

  const newConversation = async () =>
    (await service.call('POST', '/api/agent/conversations', { body: {} })).body.id as string
  const running = (conversationId: string): Promise<string> =>
    until(async () => {
      const { body } = await other.call('GET', `${CHAT}?conversationId=${conversationId}&status=running`)
      return body.data[0]?.runId
    })
  const waits = (count: number) => until(async () => service.app.services.waiters.count() === count)
  const remove = async (by: typeof service, conversationId: string) =>
    t.equal((await by.call('DELETE', `/api/agent/conversations/${conversationId}`)).status, 204)

  for (const [name, by] of Object.entries({ 'the same instance': service, 'another instance': other })) {
    t.test(`as a sync is told so, when ${name} deletes it`, async (t) => {
      const conversationId = await newConversation()
      const body = { message: ENDLESS, conversationId }
      const sync = { body, headers: { 'idempotency-key': `deleted by ${name}` } }
      const answer = service.call('POST', `${CHAT}/sync`, sync)
      await running(conversationId)
      await waits(1)
      await remove(by, conversationId)
      t.match(await answer, DELETED)
      t.match(await service.call('POST', `${CHAT}/sync`, sync), DELETED, 'and so is its replay')
    })

    t.test(`as a long poll is told so, when ${name} deletes it`, async (t) => {
      const conversationId = await newConversation()
      const { body } = await service.call('POST', CHAT, { body: { message: ENDLESS, conversationId } })
      await running(conversationId)
      const answer = service.call('GET', `${CHAT}/${body.runId}?wait=30`)
      await waits(1)
      await remove(by, conversationId)
      t.match(await answer, DELETED)
    })

    t.test(`as a stream ends with an abort, when ${name} deletes it`, async (t) => {
      const conversationId = await newConversation()
      const messages = [{ id: 'm', role: 'user', parts: [{ type: 'text', text: ENDLESS }] }]
      const stream = await openStream(service, `${CHAT}/stream`, { body: { messages, conversationId } })
      await stream.until(({ chunk }) => chunk?.type === 'text-delta')
      await remove(by, conversationId)
      t.equal(await stream.closed, 'end')
      t.same(typesOf(stream.events).slice(-2), ['abort', '[DONE]'])
    })
  }

  t.test('that still waits in its queue is told so as well', async (t) => {
    const conversationId = await newConversation()
    const first = await service.call('POST', CHAT, { body: { message: ENDLESS, conversationId } })
    t.equal(first.status, 202)
    await running(conversationId)
    const answer = service.call('POST', `${CHAT}/sync`, { body: { message: 'hi', conversationId } })
    await waits(1)
    await remove(service, conversationId)
    t.match(await answer, DELETED)
  })
})
