import { test } from 'tap'
import { query } from '../services/rows.ts'
import { openStream } from '../streams/sse.ts'
import { startService } from '../support/service.ts'

const CHAT = '/api/agent/chat'

test('the feed tells of each message once, also when its turn is repeated', async (t) => {
  const service = await startService(t)
  const first = (await service.call('POST', `${CHAT}/sync`, { body: { message: 'What is 1 + 1?' } })).body
  const retry = (runId: string, body: object = {}) => service.call('POST', `${CHAT}/${runId}/retry`, { body })
  const stored = () =>
    query<{ id: string; role: string }>(
      service,
      `select data->>'messageId' as id, data->>'role' as role from feed_events
       where type = 'message.stored' and conversation_id = '${first.conversationId}' order by xid, id`,
    )
  const refusing = async (work: () => Promise<{ status: number }>) => {
    const { engine } = service.app
    const { start } = engine
    engine.start = () => Promise.reject(new Error('no'))
    t.equal((await work()).status, 500)
    engine.start = start
  }

  await refusing(() => retry(first.runId))
  t.equal((await stored()).length, 2, 'an answer that gets its place back was told of before')

  const second = (await service.ended((await retry(first.runId)).body.runId)).body
  t.match(await stored(), [
    { role: 'user' },
    { id: first.messageId, role: 'assistant' },
    { id: second.messageId, role: 'assistant' },
  ])
  t.equal((await stored()).length, 3, 'its question was told of before, too')

  const message = '[[stall-after:3]] story'
  const { conversationId } = first
  const live = (await service.call('POST', CHAT, { body: { message, conversationId } })).body
  const stream = await openStream(service, `${CHAT}/${live.runId}/stream`)
  await stream.until(({ chunk }) => chunk?.type === 'text-delta')
  await refusing(() => retry(live.runId, { ifBusy: 'interrupt' }))
  const { messageId } = (await service.ended(live.runId)).body
  const roles = (await stored()).slice(3)
  t.match(roles, [{ role: 'user' }, { id: messageId, role: 'assistant' }], 'its answer came without a place')
  t.equal(roles.length, 2)
})
