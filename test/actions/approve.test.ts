import t from 'tap'
import { startService } from '../support/service.ts'

t.test('an approved call is executed by a continuation, which extends the same message', async (t) => {
  const service = await startService(t)
  const started = await service.call('POST', '/api/agent/chat', {
    body: { message: 'Send Ada a note: lunch at one' },
  })
  t.equal(started.status, 202)
  const { runId, conversationId } = started.body
  const first = await service.ended(runId)
  t.match(first.body, { status: 'completed', finishReason: 'action_required' })
  const [action] = first.body.pendingActions
  t.match(action, {
    toolName: 'send_note',
    args: { to: 'Ada', text: 'lunch at one' },
    kind: 'approval',
    message: 'Send this note to Ada?',
  })

  const answered = await service.call('POST', `/api/agent/chat/${runId}/actions/${action.actionId}`, {
    body: { decision: 'approve' },
  })
  t.match(answered, {
    status: 200,
    body: { status: 'approved', pending: 0, decidedBy: 'alice', continuedBy: /^run_/ },
  })
  const second = await service.ended(answered.body.continuedBy)
  t.match(second.body, {
    status: 'completed',
    finishReason: 'stop',
    continues: runId,
    messageId: first.body.messageId,
  })
  t.equal(second.body.pendingActions, undefined)
  t.match(second.body.text, /would like to send Ada a note.*"sent":true/s)
  t.match(second.body.toolCalls, [{ toolName: 'send_note', result: { sent: true, to: 'Ada' } }])
  t.match((await service.call('GET', `/api/agent/chat/${runId}`)).body, {
    continuedBy: answered.body.continuedBy,
    pendingActions: undefined,
  })
  const messages = await service.call('GET', `/api/agent/conversations/${conversationId}/messages`)
  t.equal(messages.body.data.length, 2)
  t.match(messages.body.data[1], {
    id: first.body.messageId,
    text: second.body.text,
    runId: answered.body.continuedBy,
  })
})
