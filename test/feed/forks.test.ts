import { test } from 'tap'
import { openFeed } from '../support/feed-client.ts'
import { startService } from '../support/service.ts'

test('the feed tells of conversations that are created without a turn', async (t) => {
  const service = await startService(t)
  const { body } = await service.call('POST', '/api/agent/chat/sync', { body: { message: 'My name is Ada' } })
  const feed = await openFeed(service)
  const created = (id: string) =>
    feed.until(({ type, data }) => type === 'conversation.created' && data.conversationId === id)
  const forked = await service.call('POST', `/api/agent/conversations/${body.conversationId}/fork`, {
    body: {},
  })
  t.equal((await created(forked.body.id)).data.forkedFrom, body.conversationId)
  const empty = await service.call('POST', '/api/agent/conversations', { body: {} })
  t.notOk('forkedFrom' in (await created(empty.body.id)).data)
  feed.leave()
})
