import { randomUUID } from 'node:crypto'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { agents as registered } from '../../src/agents/index.ts'
import { ready } from '../streams/sse.ts'
import { scrape, valueIn } from '../support/scrape.ts'
import { support } from '../support/second-agent.ts'
import { type CallOptions, startEngine, startService, token } from '../support/service.ts'
import { startTellingModel } from '../support/telling-model.ts'
import { query, storedTurn } from './rows.ts'

const CHAT = '/api/agent/chat'
const CONVERSATIONS = '/api/agent/conversations'
const agents = { ...registered, support }
const TWO_AGENTS = fileURLToPath(new URL('../support/agents-task.ts', import.meta.url))
const page = (text: string, more: object = {}) => ({
  messages: [{ id: randomUUID(), role: 'user', parts: [{ type: 'text', text }] }],
  ...more,
})

t.test('two agents in one process', async (t) => {
  const engine = await startEngine(t, {
    taskModules: [TWO_AGENTS],
    childEnv: await startTellingModel(t),
  })
  const service = await startService(t, { engine, agents, environment: { METRICS_PORT: '0' } })
  await ready(service)
  const { call } = service
  const sync = async (body: object) => (await call('POST', `${CHAT}/sync`, { body })).body
  const SUPPORT = 'You help with orders. [look_up_order refund refund_much]'
  const DEFAULT = 'You are a helpful assistant. [calculate current_time]'

  t.test('the list of agents names their tools, and says which tools need approval', async (t) => {
    const { status, body } = await call('GET', '/api/agent/agents')
    t.equal(status, 200)
    t.match(body.data, [
      { name: 'default', tools: [{ name: 'calculate', needsApproval: false }, { name: 'current_time' }] },
      {
        name: 'support',
        description: 'Helps with orders.',
        tools: [
          { name: 'look_up_order', description: 'Looks an order up.', needsApproval: false },
          { name: 'refund', needsApproval: true },
          { name: 'refund_much', needsApproval: 'sometimes' },
        ],
      },
    ])
  })

  t.test(
    'each agent answers with its own instructions and tools, in every turn of its conversations',
    async (t) => {
      const first = await sync({ message: 'Hello', agent: 'support' })
      t.match(first, { status: 'completed', agent: 'support', text: SUPPORT })
      const { conversationId } = first
      t.match(await sync({ message: 'Go on', conversationId }), { agent: 'support', text: SUPPORT })
      t.match(await sync({ message: 'And on', conversationId, agent: 'support' }), { text: SUPPORT })
      t.match(await sync({ message: 'Hello' }), { agent: 'default', text: DEFAULT })
      t.match(await sync({ message: 'Hello', agent: 'default' }), { agent: 'default', text: DEFAULT })

      const streamed = await call('POST', `${CHAT}/stream`, { body: page('Hello', { agent: 'support' }) })
      t.ok(String(streamed.body).includes(SUPPORT))

      const retried = await call('POST', `${CHAT}/${(await newest(conversationId)).runId}/retry`)
      t.match((await service.ended(retried.body.runId)).body, { agent: 'support', text: SUPPORT })

      const forked = await call('POST', `${CONVERSATIONS}/${conversationId}/fork`)
      t.match(forked, { status: 201, body: { agent: 'support' } })
      t.match(await sync({ message: 'Here', conversationId: forked.body.id }), { text: SUPPORT })
    },
  )

  t.test('the first turn fixes the agent of a conversation', async (t) => {
    const { body: empty } = await call('POST', CONVERSATIONS, { body: {} })
    t.notOk('agent' in empty)
    const conversationId = empty.id
    t.match(await sync({ message: 'Hello', conversationId, agent: 'support' }), { text: SUPPORT })
    t.match((await call('GET', `${CONVERSATIONS}/${conversationId}`)).body, { agent: 'support' })
    const wrong = { conversationId, agent: 'default' }
    for (const refused of [
      await call('POST', CHAT, { body: { message: 'Hello', ...wrong } }),
      await call('POST', `${CHAT}/sync`, { body: { message: 'Hello', ...wrong } }),
      await call('POST', `${CHAT}/stream`, { body: page('Hello', wrong) }),
    ])
      t.match(refused, { status: 409, body: { code: 'agent_mismatch', agent: 'support' } })
    t.match(await call('POST', CHAT, { body: { message: 'Hello', agent: 'nobody' } }), {
      status: 400,
      body: { code: 'agent_unknown' },
    })
  })

  t.test(
    "a context must fit the schema of the agent, also when only the conversation's row names the agent",
    async (t) => {
      t.match(await sync({ message: 'Hello', context: { more: 1 } }), { status: 'completed' })
      const { conversationId } = await sync({ message: 'Hello', agent: 'support', context: { shop: 'a' } })
      for (const body of [
        { message: 'Hello', agent: 'support', context: { more: 1 } },
        { message: 'Hello', conversationId, context: { more: 1 } },
      ])
        t.match(await call('POST', CHAT, { body }), {
          status: 400,
          body: { code: 'invalid_request', errors: [{ path: '/context/more' }] },
        })
    },
  )

  t.test('lists are filtered by agent', async (t) => {
    const user = 'lister'
    const start = async (agent: string) => {
      const { body } = await call('POST', `${CHAT}/sync`, { user, body: { message: 'Hello', agent } })
      return body as { runId: string; conversationId: string }
    }
    const own = { support: [] as string[], default: [] as string[] }
    const threads = { support: [] as string[], default: [] as string[] }
    for (const agent of ['support', 'default', 'support', 'default', 'support'] as const) {
      const { runId, conversationId } = await start(agent)
      own[agent].unshift(runId)
      threads[agent].unshift(conversationId)
    }
    for (const agent of ['support', 'default'] as const) {
      const all = async (path: string) => {
        const found: Record<string, string>[] = []
        let cursor = ''
        do {
          const { status, body } = await call('GET', `${path}agent=${agent}&limit=1${cursor}`, { user })
          t.equal(status, 200)
          found.push(...body.data)
          cursor = body.nextCursor === null ? '' : `&cursor=${encodeURIComponent(body.nextCursor)}`
        } while (cursor !== '')
        return found
      }
      for (const filter of ['?', '?status=completed&'])
        t.same(
          (await all(`${CHAT}${filter}`)).map(({ runId }) => runId),
          own[agent],
        )
      t.same(
        (await all(`${CONVERSATIONS}?`)).map(({ id }) => id),
        threads[agent],
      )
    }
    t.same((await call('GET', `${CHAT}?agent=nobody`, { user })).body.data, [])
    const { body } = await call('GET', '/api/agent/usage?groupBy=agent', { user })
    t.match(body.data, [
      { agent: 'default', runs: 2 },
      { agent: 'support', runs: 3 },
    ])
  })

  t.test('the metrics of runs have the name of the agent', async (t) => {
    const samples = await scrape(service)
    for (const agent of ['default', 'support'])
      t.ok(
        Number(valueIn(samples, 'agent_chat_runs_finished_total', { status: 'completed', agent })) > 0,
        agent,
      )
  })

  t.test('a turn that was removed does not fix the agent of its conversation', async (t) => {
    const { body } = await call('POST', CONVERSATIONS, { body: {} })
    const { turns } = service.app.stores
    const turn = { ...storedTurn(1, body.id, null), userId: 'alice', agent: 'support', agents: ['support'] }
    t.match(await turns.start(turn), { outcome: 'created', agent: 'support' })
    t.ok(await turns.remove(turn.turnId))
    t.match(await sync({ message: 'Hello', conversationId: body.id }), { agent: 'default' })
  })

  t.test('a run that was started without the database is adopted with its agent', async (t) => {
    const { turns } = service.app.stores
    const turn = storedTurn(2, randomUUID(), null)
    const runId = `run_${randomUUID()}`
    await turns.adopt({
      ...turn,
      ...{ userId: 'adopted', runId, agent: 'support', createdAt: new Date() },
      input: { message: turn.message, newConversation: false, assistantMessageId: turn.assistantMessageId },
    })
    t.match((await call('GET', `${CHAT}?agent=support`, { user: 'adopted' })).body.data, [{ runId }])
  })

  async function newest(conversationId: string) {
    return (await call('GET', `${CHAT}?conversationId=${conversationId}&limit=1`)).body.data[0]
  }
})

t.test('AUTH_AGENT_SCOPES protects an agent on every route that starts a turn', async (t) => {
  const engine = await startEngine(t, { taskModules: [TWO_AGENTS] })
  const service = await startService(t, { engine, agents, environment: { AUTH_AGENT_SCOPES: 'support' } })
  await ready(service)
  const scoped = await token('alice', { scope: 'agent:read agent:write agent:use:support' })
  const allowed = (method: string, path: string, options: CallOptions = {}) =>
    service.call(method, path, { ...options, headers: { authorization: `Bearer ${scoped}` } })
  const { body: run } = await allowed('POST', `${CHAT}/sync`, {
    body: { message: 'Hello', agent: 'support' },
  })
  t.match(run, { status: 'completed', agent: 'support' })
  const { conversationId, runId } = run
  const stored = () =>
    query(service, 'select count(*) from turns union all select count(*) from conversations')
  const before = await stored()

  const [question] = (await service.call('GET', `${CONVERSATIONS}/${conversationId}/messages`)).body.data
  const edited = { id: question.id, role: 'user', parts: [{ type: 'text', text: 'Changed' }] }
  const ways: Array<[string, object?]> = [
    [CHAT, { message: 'Hello', agent: 'support' }],
    [CHAT, { message: 'Hello', conversationId }],
    [`${CHAT}/sync`, { message: 'Hello', conversationId }],
    [`${CHAT}/stream`, page('Hello', { agent: 'support' })],
    [`${CHAT}/stream`, page('Hello', { conversationId })],
    [`${CHAT}/stream`, { messages: [edited], messageId: question.id, conversationId }],
    [`${CHAT}/${runId}/retry`],
    [`${CONVERSATIONS}/${conversationId}/fork`],
  ]
  for (const [path, body] of ways) {
    const refused = await service.call('POST', path, { body })
    t.match(refused, { status: 403, body: { code: 'insufficient_scope' } }, path)
    t.match(refused.headers.get('www-authenticate'), /scope="agent:use:support"/)
  }
  t.same(await stored(), before, 'nothing was stored')
  t.same(
    (await service.call('GET', '/api/agent/agents')).body.data.map(({ name }: { name: string }) => name),
    ['default'],
  )
  t.equal((await allowed('GET', '/api/agent/agents')).body.data.length, 2)
  t.equal(
    (await service.call('POST', CHAT, { body: { message: 'Hello' } })).status,
    202,
    'the other agent needs no scope',
  )
  t.equal((await allowed('POST', `${CHAT}/${runId}/retry`)).status, 202)

  const asks = await allowed('POST', `${CHAT}/sync`, {
    body: { message: 'Call refund with {"order":"A-1"}', agent: 'support' },
  })
  const { actionId } = asks.body.pendingActions[0]
  const path = `${CHAT}/${asks.body.runId}/actions/${actionId}`
  const refused = await service.call('POST', path, { body: { decision: 'approve' } })
  t.match(
    refused,
    { status: 403, body: { code: 'insufficient_scope' } },
    'an action of the protected agent needs the scope too',
  )
  t.match((await allowed('POST', path, { body: { decision: 'approve' } })).body, { status: 'approved' })
})

t.test('a worker that does not have the agent fails the run and says so', async (t) => {
  const service = await startService(t, { agents })
  await ready(service)
  const { body } = await service.call('POST', `${CHAT}/sync`, {
    body: { message: 'Hello', agent: 'support' },
  })
  t.match(body, { status: 'failed', agent: 'support', errorCode: 'agent_not_deployed', retryable: true })
})

t.test('the limits of an agent hold for its turns', async (t) => {
  const engine = await startEngine(t, { taskModules: [TWO_AGENTS] })
  const service = await startService(t, { engine, agents })
  await ready(service)
  const message = 'Call look_up_order with {"order":"7"}'
  const { body } = await service.call('POST', `${CHAT}/sync`, { body: { message, agent: 'support' } })
  t.match(body, { status: 'completed', finishReason: 'step_limit', steps: 1 })
})

t.test('a setting that names an agent which does not exist stops the start', async (t) => {
  await t.rejects(
    startService(t, { engine: await startEngine(t), environment: { AUTH_AGENT_SCOPES: 'suport' } }),
    {
      message: 'AUTH_AGENT_SCOPES names agents that do not exist: suport.',
    },
  )
})
