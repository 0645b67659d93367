import t from 'tap'
import { turnTag } from '../../src/services/run-tags.ts'
import { unstoredRuns } from '../../src/services/upkeep/unstored-runs.ts'
import { startToxicProxy } from '../chaos/toxic-proxy.ts'
import { createDatabase } from '../support/postgres.ts'
import { startEngine, startService } from '../support/service.ts'
import { query, storedTurn, until } from './rows.ts'

const CHAT = '/api/agent/chat'

t.test('another instance finishes the work of an instance that has ended', async (t) => {
  const engine = await startEngine(t)
  const proxy = await startToxicProxy(engine.url)
  t.teardown(() => proxy.stop())
  const databaseUrl = await createDatabase(t)
  const dying = await startService(t, { engine: { ...engine, url: proxy.url }, databaseUrl })
  const service = await startService(t, { engine, databaseUrl })
  const due = (what = 'true') => query(service, `update runs set check_at = now() where ${what}`)

  t.test('another instance stores the end of a run', async (t) => {
    const { body } = await dying.call('POST', CHAT, { body: { message: 'Tell a story with 40 sentences.' } })
    await dying.close()
    await until(async () => (await service.app.engine.get(body.runId))?.status === 'completed')
    const { body: ended } = await service.ended(body.runId)
    t.equal(ended.status, 'completed')
    t.ok(ended.text.length > 100)
  })

  t.test('another instance records the id of a run', async (t) => {
    const { body } = await service.call('POST', CHAT, { body: { message: 'What is 2 + 2?' } })
    await service.ended(body.runId)
    await query(
      service,
      `update turns set run_id = null, state = 'dispatching', check_at = now() where run_id = '${body.runId}'`,
    )
    await query(service, `delete from runs where run_id = '${body.runId}'`)
    await query(service, `delete from messages where seq = 1 and text = '2 + 2 = 4.'`)
    const runs = engine.stats().runs
    await until(async () => (await service.call('GET', `${CHAT}/${body.runId}`)).body.status === 'completed')
    t.equal(engine.stats().runs, runs, 'the run was found, and the turn was not dispatched again')
  })

  t.test('another instance carries out a cancel that was accepted', async (t) => {
    const { body } = await service.call('POST', CHAT, { body: { message: '[[stall-after:3]] story' } })
    await service.app.stores.runs.requestCancel('alice', body.runId)
    await due()
    t.match((await service.ended(body.runId)).body, { status: 'cancelled' })
    t.match(await service.app.engine.get(body.runId), { status: 'cancelled' })
  })
})

t.test(
  'the sweeper cancels the run of a start without an answer of the engine, and removes its turn',
  async (t) => {
    const engine = await startEngine(t)
    const proxy = await startToxicProxy(engine.url)
    t.teardown(() => proxy.stop())
    const service = await startService(t, { engine: { ...engine, url: proxy.url } })
    const rows = () =>
      query<{ n: number }>(
        service,
        `select (select count(*)::int from turns) + (select count(*)::int from messages)
            + (select count(*)::int from conversations) n`,
      )

    await service.app.engine.ping()
    proxy.toxics.swallowAnswers = true
    const told = await service.call('POST', CHAT, { body: { message: '[[stall-after:3]] story' } })
    t.match(told, { status: 503, body: { code: 'engine_unavailable' } })
    await proxy.mend()
    t.same(
      (await service.call('GET', '/api/agent/conversations')).body.data,
      [],
      'the conversation is hidden',
    )
    t.same((await service.call('GET', CHAT)).body.data, [])
    const [turn] = await query<{ id: string; state: string }>(service, 'select id, state from turns')
    t.match(turn, { state: 'abandoned' })
    await query(service, 'update turns set check_at = now()')
    await until(async () => (await rows())[0]?.n === 0)
    for await (const run of service.app.engine.list({ tag: turnTag(turn?.id ?? '') }))
      t.match(run, { status: 'cancelled' }, 'the run that the engine has made is cancelled')
  },
)

t.test('an engine that is away or starts anew', async (t) => {
  const engine = await startEngine(t)
  const port = Number(new URL(engine.url).port)
  const service = await startService(t, { engine })
  const runs = await Promise.all(
    [1, 2].map(() => service.call('POST', CHAT, { body: { message: '[[stall-after:3]] story' } })),
  )
  const [late, lost] = runs.map(({ body }) => body.runId as string)
  await until(async () => (await service.call('GET', `${CHAT}/${late}`)).body.status === 'running')
  await engine.stop()

  t.test('a run ends at its deadline while the engine is away', async (t) => {
    await query(service, `update runs set deadline_at = now(), check_at = now() where run_id = '${late}'`)
    t.match((await service.ended(late ?? '')).body, {
      status: 'failed',
      errorCode: 'timed_out',
      retryable: true,
      truncated: true,
    })
    const rows = await query(service, `select frame_count from runs where run_id = '${late}'`)
    t.same(rows, [{ frame_count: null }], 'the number of its frames is not known')
    t.match((await service.call('GET', '/readyz')).body.details, {
      runs: { unfinished: Number, sweeperLagSeconds: Number, oldestUnfinishedSeconds: Number },
    })
  })

  t.test('a run that a restarted engine does not know ends as worker_lost', async (t) => {
    await startEngine(t, { port })
    await query(service, 'update runs set check_at = now() where check_at is not null')
    t.match((await service.ended(lost ?? '')).body, {
      status: 'failed',
      errorCode: 'worker_lost',
      retryable: true,
      truncated: true,
    })
    const rest = await service.call('GET', `${CHAT}/${lost}/stream`, { headers: { 'last-event-id': '2' } })
    t.match(
      rest.body,
      { status: 410, code: 'stream_expired' },
      'a viewer cannot resume a stream that the engine has lost',
    )
  })
})

t.test('runs without a row', async (t) => {
  const engine = await startEngine(t)
  const databaseUrl = await createDatabase(t)
  const proxy = await startToxicProxy(databaseUrl)
  t.teardown(() => proxy.stop())
  const dying = await startService(t, { engine, databaseUrl: proxy.url })
  const warm = await dying.call('POST', CHAT, { body: { message: 'hi' } })
  await dying.ended(warm.body.runId)
  await proxy.cut()
  const unstored = await dying.call('POST', CHAT, {
    body: { message: 'What is 4 * 4?', metadata: { a: 'b' } },
    headers: { 'idempotency-key': 'unstored' },
  })
  t.equal(unstored.status, 202)
  // This instance ends before the database is back.
  await dying.close()
  const service = await startService(t, { engine, databaseUrl })

  t.test(
    'the instance that searches for runs without a row adopts them, and they end as other runs do',
    async (t) => {
      await query(service, 'update service_identity set adoption_claimed_at = null')
      const { stores, engine: adapter } = service.app
      const [identity] = await query<{ id: string }>(service, 'select id from service_identity')
      const context = {
        stores,
        engine: adapter,
        log: { info() {}, warn() {}, error() {} },
        tags: { service: async () => `service_${identity?.id}`, instance: 'instance_test' },
        settings: { ttlSeconds: 60, maxDurationSeconds: 60, retentionDays: 1, largePayloads: false },
      }
      await unstoredRuns(context).search()
      // The instance's own search may have begun first and may still be at work.
      await until(async () => (await service.call('GET', `${CHAT}/${unstored.body.runId}`)).status === 200)
      t.match((await service.ended(unstored.body.runId)).body, {
        status: 'completed',
        text: '4 * 4 = 16.',
        metadata: { a: 'b' },
      })
      const replay = await service.call('POST', CHAT, {
        body: { message: 'What is 4 * 4?', metadata: { a: 'b' } },
        headers: { 'idempotency-key': 'unstored' },
      })
      t.same(replay.body, unstored.body)
    },
  )

  t.test('a run that cannot be adopted does not prevent the adoption of other runs', async (t) => {
    const { stores, engine: adapter } = service.app
    const warnings: object[] = []
    const context = {
      stores,
      engine: {
        ...adapter,
        get: async (runId: string) => {
          const run = await adapter.get(runId)
          const poison = run?.payload?.message.parts.some((part) => JSON.stringify(part).includes('poison'))
          // A payload that this version cannot read.
          return poison ? ({ ...run, payload: { ...run?.payload, message: null } } as never) : run
        },
      },
      log: { info() {}, warn: (fields: object) => void warnings.push(fields), error() {} },
      tags: { service: async () => 'service_poison', instance: 'instance_test' },
      settings: { ttlSeconds: 60, maxDurationSeconds: 60, retentionDays: 1, largePayloads: false },
    }
    stores.housekeeping.claimSearch = async () => undefined
    const origin = { userId: 'alice', actor: null, metadata: {}, idempotencyKey: null, requestHash: null }
    const send = (n: number, text: string) => {
      const turn = storedTurn(n, '00000000-0000-7000-8000-000000000000')
      const message = { ...turn.message, parts: [{ type: 'text' as const, text }] }
      const payload = { version: 1, ...turn, message, conversationId: null, history: [], ahead: [], origin }
      const tags = ['service_poison', 'unstored_poison', turnTag(turn.turnId)]
      const times = { ttlSeconds: 60, maxDurationSeconds: 60, keySeconds: 60 }
      return adapter.start(payload, { engineKey: turn.turnId, concurrencyKey: turn.turnId, tags, ...times })
    }
    const [sound, poisoned] = [await send(11, 'What is 2 * 4?'), await send(12, 'poison')]
    const { claimSearch: _resting, ...rest } = stores.housekeeping
    const housekeeping = { ...rest, claimSearch: async () => new Date(Date.now() - 60_000) }
    await unstoredRuns({ ...context, stores: { ...stores, housekeeping } }).search()
    t.match((await service.ended(sound)).body, { status: 'completed', text: '2 * 4 = 8.' })
    t.equal((await service.call('GET', `${CHAT}/${poisoned}`)).status, 404)
    t.match(warnings, [{ runId: poisoned, err: Error }])
  })

  t.test(
    'an instance adopts the runs that it has started during an outage as soon as the database is back',
    async (t) => {
      const second = await startToxicProxy(databaseUrl)
      t.teardown(() => second.stop())
      const survivor = await startService(t, { engine, databaseUrl: second.url })
      await survivor.call('GET', CHAT)
      await second.cut()
      const starts = await Promise.all(
        [1, 2, 3].map((n) => survivor.call('POST', CHAT, { body: { message: `What is ${n} + 1?` } })),
      )
      for (const { status, body } of starts) t.equal(status, 202, body)
      await second.mend()
      for (const { body } of starts) {
        const run = await until(async () => {
          const poll = await survivor.call('GET', `${CHAT}/${body.runId}`)
          return poll.body.status === 'completed' && poll.body
        })
        t.match(run.text, / \+ 1 = /)
      }
    },
  )
})

t.test('rows are deleted in batches when their retention is over', async (t) => {
  const service = await startService(t)
  const { housekeeping } = service.app.stores
  const { body } = await service.call('POST', CHAT, { body: { message: 'hi', metadata: { a: 'b' } } })
  await service.ended(body.runId)

  t.test('old runs are deleted with their keys and labels, and their messages stay', async (t) => {
    await query(
      service,
      `with made as (
         insert into turns (id, user_id, state, run_id)
         select gen_random_uuid(), 'alice', 'started', 'run_old' || n from generate_series(1, 25) n returning id, run_id)
       insert into runs (id, turn_id, run_id, user_id, status, finished_at, deadline_at)
       select id, id, run_id, 'alice', 'completed', now() - interval '31 days', now() from made`,
    )
    await query(
      service,
      `update runs set finished_at = now() - interval '29 days' where run_id = '${body.runId}'`,
    )
    const { expireRuns } = housekeeping
    t.same([await expireRuns(30, 10), await expireRuns(30, 10), await expireRuns(30, 10)], [10, 10, 5])
    t.equal(await expireRuns(30, 10), 0)
    t.equal(await expireRuns(28, 10), 1)
    t.same(await query(service, 'select id from turns union all select id from run_labels'), [])
    t.equal((await service.call('GET', `${CHAT}/${body.runId}`)).status, 404)
    const messages = await service.call('GET', `/api/agent/conversations/${body.conversationId}/messages`)
    t.equal(messages.body.data.length, 2)
    t.notOk('runId' in messages.body.data[0])
  })

  t.test(
    'conversations without activity are deleted, and a conversation with an unfinished run stays',
    async (t) => {
      const busy = await service.call('POST', CHAT, { body: { message: '[[stall-after:3]] story' } })
      await query(service, `update conversations set last_activity_at = now() - interval '91 days'`)
      t.equal(await housekeeping.expireConversations(92, 10, 500), 0)
      t.equal(await housekeeping.expireConversations(90, 10, 500), 1)
      t.equal((await service.call('GET', `/api/agent/conversations/${body.conversationId}`)).status, 404)
      t.equal((await service.call('GET', `/api/agent/conversations/${busy.body.conversationId}`)).status, 200)
      t.same(
        await query(service, `select id from messages where conversation_id = '${body.conversationId}'`),
        [],
      )
    },
  )
})
