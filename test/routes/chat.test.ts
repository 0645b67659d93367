import t from 'tap'
import { startService } from '../support/service.ts'

t.test('a turn', async (t) => {
  const service = await startService(t)

  t.test('is accepted, answered and remembered by the next one', async (t) => {
    const first = await service.call('POST', '/api/agent/chat', { body: { message: 'What is 17 * 23?' } })
    t.equal(first.status, 202)
    t.match(first.body, { runId: /^run_/, status: 'queued', conversationId: String })
    t.equal(first.headers.get('location'), `/api/agent/chat/${first.body.runId}`)
    const answered = await service.ended(first.body.runId)
    t.match(answered.body, { status: 'completed', text: '17 * 23 = 391.' })
    t.match(answered.body.toolCalls, [
      { toolName: 'calculate', args: { expression: '17 * 23' }, result: { result: 391 } },
    ])

    const second = await service.call('POST', '/api/agent/chat', {
      body: { message: 'What was my first question?', conversationId: first.body.conversationId },
    })
    t.equal(second.body.conversationId, first.body.conversationId)
    t.match((await service.ended(second.body.runId)).body.text, /What is 17 \* 23\?/)
  })
})
