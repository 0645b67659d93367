import { test } from 'tap'
import { AgentChat, AgentChatError } from '../../clients/typescript/src/index.ts'
import { startService, token } from '../support/service.ts'

async function collect<Item>(items: AsyncIterable<Item>): Promise<Item[]> {
  const all: Item[] = []
  for await (const item of items) all.push(item)
  return all
}

test('start, wait, stream, cancel and lists do what they say', async (t) => {
  const { url } = await startService(t)
  const chat = new AgentChat({ url, token: () => token('alice') })

  const run = await chat.run({ message: 'What is 17 * 23?' })
  t.equal(run.status === 'completed' && run.text.includes('391'), true)

  const started = await chat.start({ message: 'hi' }, { idempotencyKey: 'mine' })
  t.same(await chat.start({ message: 'hi' }, { idempotencyKey: 'mine' }), started, 'a key starts one run')
  const answer = await chat.wait(started.runId)

  const stream = chat.follow(started.runId)
  const chunks = await collect(stream)
  t.equal(chunks[0]?.type, 'start')
  t.equal(chunks.at(-1)?.type, 'finish')
  const text = chunks.map((chunk) => (chunk.type === 'text-delta' ? chunk.delta : '')).join('')
  t.equal(answer.status === 'completed' && answer.text, text)

  const slow = await chat.stream({ message: 'Tell me a story of 2000 words' })
  const cancelled = await chat.cancel(slow.runId)
  t.equal(cancelled.status, 'cancelled')
  t.equal((await collect(slow)).at(-1)?.type, 'abort')

  const again = await chat.retry(run.runId)
  t.match(await chat.wait(again.runId), { status: 'completed', retryOf: run.runId })

  const { data } = await chat.list({ status: ['completed'], limit: 2 })
  t.same(
    data.map(({ runId }) => runId),
    [again.runId, started.runId],
  )
  const { data: conversations } = await chat.conversations.list()
  t.equal(conversations.length, 3)
  const { data: agents } = await chat.agents.list()
  t.ok(agents[0]?.tools.length)
})

test('what waits for somebody is listed and answered, and the turn goes on', async (t) => {
  const { url } = await startService(t)
  const chat = new AgentChat({ url, token: () => token('alice') })
  const asks = await chat.run({ message: 'Send Ada a note: lunch at one' })
  t.match(asks, { status: 'completed', finishReason: 'action_required' })
  const { data } = await chat.actions.list({ status: 'pending' })
  t.match(data, [{ runId: asks.runId, toolName: 'send_note', args: { to: 'Ada', text: 'lunch at one' } }])
  const { actionId = '' } = data[0] ?? {}
  const decided = await chat.actions.approve(asks.runId, actionId)
  t.match(decided, { status: 'approved', pending: 0 })
  t.same(await chat.actions.approve(asks.runId, actionId), decided, 'the same answer changes nothing')
  await t.rejects(chat.actions.deny(asks.runId, actionId, 'too late'), { code: 'action_decided' })
  const goesOn = await chat.wait(decided.continuedBy ?? '')
  t.equal(goesOn.status === 'completed' && goesOn.text.includes('"sent":true'), true)
})

test('a refusal is an error with the members of its problem', async (t) => {
  const { url } = await startService(t)
  const chat = new AgentChat({ url, token: () => token('alice') })
  const { conversationId = '', runId } = await chat.start({ message: 'Tell me a story of 2000 words' })
  const busy = await chat
    .start({ message: 'hi', conversationId, ifBusy: 'reject' })
    .catch((error: unknown) => error)
  t.ok(busy instanceof AgentChatError && busy.code === 'conversation_busy' && busy.activeRunId === runId)
  await t.rejects(chat.start({ message: '' }), {
    code: 'invalid_request',
    errors: [{ path: '/message' }],
    requestId: String,
    attempts: 1,
  })
  await t.rejects(chat.get('run_none'), { code: 'run_not_found', status: 404 })
  await chat.cancel(runId)
})
