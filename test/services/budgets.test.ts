import { fileURLToPath } from 'node:url'
import t from 'tap'
import { problem } from '../../src/errors.ts'
import { freePort, restartable } from '../chaos/processes.ts'
import { createDatabase } from '../support/postgres.ts'
import { type Answer, SECRET, type Service, startEngine, startService, token } from '../support/service.ts'
import { CHAT, ENDLESS } from './instances.ts'
import { query, until } from './rows.ts'

const SERVER = fileURLToPath(new URL('../../src/bin/server.ts', import.meta.url))
const QUESTION = 'What is 17 * 23? Please think, and answer in a whole sentence.'

const sums = async (service: Service, scope = 'user', name = 'alice') =>
  (
    await query<{ reserved: number; used: number }>(
      service,
      `select coalesce(sum(reserved), 0)::integer as reserved, coalesce(sum(used), 0)::integer as used
       from budget_days where scope = '${scope}' and name = '${name}'`,
    )
  )[0] ?? { reserved: 0, used: 0 }

t.test('a budget of tokens', async (t) => {
  const engine = await startEngine(t)
  const databaseUrl = await createDatabase(t)
  const plain = await startService(t, { engine, databaseUrl })
  const ask = (service: Service, body: object, options: object = {}) =>
    service.call('POST', CHAT, { body: { message: QUESTION, ...body }, ...options })
  const probe = await ask(plain, {}, { user: 'probe' })
  const { totalTokens } = (await plain.ended(probe.body.runId, 'probe')).body.usage
  t.same(await query(plain, 'select from budget_days'), [], 'without a budget no row is written')
  t.same(await query(plain, 'select from turns where reservation is not null'), [])
  t.notOk('budget' in (await plain.call('GET', '/api/agent/usage')).body)
  const perRun = 2 * totalTokens
  const limit = 3 * perRun
  const environment = { BUDGET_TOKENS_PER_USER_DAY: `${limit}`, BUDGET_TOKENS_PER_RUN: `${perRun}` }

  t.test(
    'a budget is never exceeded by two instances, interrupts, cancels and a kill, and no tokens stay reserved',
    async (t) => {
      const a = await startService(t, { engine, databaseUrl, environment })
      const port = await freePort()
      const url = `http://127.0.0.1:${port}`
      const bearer = await token('alice')
      const b = restartable(
        SERVER,
        {
          ...environment,
          NODE_ENV: 'production',
          PORT: `${port}`,
          LOG_LEVEL: 'silent',
          DATABASE_URL: databaseUrl,
          TRIGGER_SECRET_KEY: engine.secretKey,
          TRIGGER_API_URL: engine.url,
          TRIGGER_CALLS_PER_MINUTE: '0',
          AUTH_JWT_SECRET: SECRET,
          RATE_LIMIT_START_MAX: '10000',
        },
        async () => (await fetch(`${url}/readyz`)).status === 200,
      )
      t.teardown(() => b.kill())
      await b.start()
      const post = async (
        path: string,
        body: object,
      ): Promise<{ status: number; body: Answer['body'] } | undefined> => {
        const headers = { authorization: `Bearer ${bearer}`, 'content-type': 'application/json' }
        const answer = await fetch(url + path, { method: 'POST', headers, body: JSON.stringify(body) }).catch(
          () => undefined,
        )
        const text = await answer?.json().catch(() => undefined)
        return answer === undefined || text === undefined ? undefined : { status: answer.status, body: text }
      }
      let most = 0
      const watch = new AbortController()
      const watching = (async () => {
        while (!watch.signal.aborted) {
          const { reserved, used } = await sums(a)
          most = Math.max(most, reserved + used)
        }
      })()

      const { body: conversation } = await a.call('POST', '/api/agent/conversations', { body: {} })
      const conversationId = conversation.id
      const first = await Promise.all(
        Array.from({ length: 20 }, async (_, n) => {
          const body =
            n % 3 === 0
              ? { message: ENDLESS, conversationId, ifBusy: 'interrupt' }
              : n % 3 === 1
                ? { message: ENDLESS }
                : { message: QUESTION }
          const answer = n % 2 === 0 ? await ask(a, body) : await post(CHAT, body)
          if (answer?.status === 202 && n % 3 === 1)
            await a.call('POST', `${CHAT}/${answer.body.runId}/cancel`)
          return answer
        }),
      )
      t.ok(first.some((answer) => answer?.status === 202))
      const refused = first.find((answer) => answer?.status === 429)
      t.match(refused?.body, { code: 'budget_exhausted', retryable: true, detail: /user/ })
      const untilMidnight = 86_400 - ((Date.now() / 1000) % 86_400)
      t.ok(Math.abs(refused?.body.retryAfter - untilMidnight) < 60)

      const cancelAll = async () => {
        const { body: live } = await a.call('GET', `${CHAT}?status=queued,running`)
        for (const { runId } of live.data) await a.call('POST', `${CHAT}/${runId}/cancel`)
        await until(async () => (await query(a, `select from runs where finished_at is null`)).length === 0)
      }
      await cancelAll()
      let answered = 0
      const dying = Promise.all(
        Array.from({ length: 4 }, () => post(CHAT, { message: ENDLESS }).finally(() => answered++)),
      )
      await until(
        async () =>
          answered > 0 || (await query(a, `select from turns where state = 'dispatching'`)).length > 0,
      )
      await b.kill()
      await dying
      await query(a, `update turns set check_at = now() where state <> 'started'`)
      await until(async () => (await query(a, `select from turns where state <> 'started'`)).length === 0)
      await cancelAll()

      for (;;) {
        const { status, body } = await ask(a, {})
        if (status === 429) break
        t.equal(status, 202)
        await a.ended(body.runId)
      }
      watch.abort()
      await watching
      const { reserved, used } = await sums(a)
      t.equal(reserved, 0, 'no tokens stay reserved')
      t.ok(most <= limit && used <= limit, `never more than ${limit}: ${most}, ${used}`)
      const [row] = await query<{ sum: number }>(
        a,
        `select sum((usage->>'totalTokens')::integer)::integer as sum from runs where reservation is not null`,
      )
      t.equal(used, row?.sum, 'the budget has counted the usage that the runs have')
      const usage = (await a.call('GET', '/api/agent/usage')).body
      t.same(usage.budget.user, { limit, used, reserved: 0, left: limit - used })
      t.match(usage.budget.resetsAt, /T00:00:00.000Z$/)
      const refusal = await ask(a, {})
      t.equal(refusal.headers.get('retry-after'), String(refusal.body.retryAfter))
      const page = await a.call('POST', `${CHAT}/stream?ui=7`, {
        body: { messages: [{ role: 'user', parts: [{ type: 'text', text: 'hi' }] }] },
      })
      t.match(page, { status: 429, body: 'The limit for today is reached. Try again tomorrow.' })
      const path = `${CHAT}/${(await a.call('GET', `${CHAT}?limit=1`)).body.data[0].runId}/retry`
      t.match(await a.call('POST', path), { status: 429, body: { code: 'budget_exhausted' } })
      t.equal((await ask(a, {}, { user: 'bob' })).status, 202, 'another user has another budget')
    },
  )

  t.test('a budget stops a run that has used the tokens that were reserved for it', async (t) => {
    const service = await startService(t, {
      engine,
      databaseUrl,
      environment: { ...environment, BUDGET_TOKENS_PER_RUN: '20' },
    })
    const { body } = await ask(service, { message: '[[loop]]' }, { user: 'carol' })
    const ended = (await service.ended(body.runId, 'carol')).body
    t.match(ended, { status: 'completed', finishReason: 'budget', steps: 1 })
    t.match(ended.text, /budget of tokens/)
    t.same(await sums(service, 'user', 'carol'), { reserved: 0, used: ended.usage.totalTokens })
  })

  t.test('the budget of an actor counts the runs of all users for whom the actor calls', async (t) => {
    const service = await startService(t, {
      engine,
      databaseUrl,
      environment: { BUDGET_TOKENS_PER_ACTOR_DAY: `${perRun}`, BUDGET_TOKENS_PER_RUN: `${perRun}` },
    })
    const as = async (sub: string) => ({
      headers: { authorization: `Bearer ${await token(sub, { act: { sub: 'shop' } })}` },
    })
    const { body } = await ask(service, { message: ENDLESS }, await as('dave'))
    t.match(await ask(service, {}, await as('erin')), { status: 429, body: { detail: /actor/ } })
    t.equal(
      (await ask(service, {}, { user: 'erin' })).status,
      202,
      'a call without an actor does not count in the budget of an actor',
    )
    const usage = await service.call('GET', '/api/agent/usage', await as('dave'))
    t.match(usage.body.budget, { actor: { limit: perRun, reserved: perRun, left: 0 } })
    t.notOk('user' in usage.body.budget)
    await service.call('DELETE', `/api/agent/conversations/${body.conversationId}`, await as('dave'))
    await until(async () => (await sums(service, 'actor', 'shop')).reserved === 0)
    t.ok(
      (await sums(service, 'actor', 'shop')).used <= perRun,
      'the budget is also counted when the conversation is deleted',
    )
  })

  t.test('a budget counts the tokens of runs that were started without the database', async (t) => {
    const service = await startService(t, { engine, environment })
    const { turns } = service.app.stores
    const { start } = turns
    turns.start = () => Promise.reject(problem('database_unavailable'))
    const { body } = await ask(service, {})
    t.notOk('conversationId' in body)
    turns.start = start
    const path = `/api/agent/chat/${body.runId}`
    await until(async () => (await service.call('GET', path)).status === 200)
    const { usage } = (await service.ended(body.runId)).body
    t.same(await sums(service), { reserved: 0, used: usage.totalTokens })

    await query(service, `update budget_days set used = ${limit + 1}`)
    turns.start = () => Promise.reject(problem('database_unavailable'))
    const over = await ask(service, {})
    t.equal(over.status, 202, 'a start without the database is not refused')
    turns.start = start
    await until(async () => (await service.call('GET', `/api/agent/chat/${over.body.runId}`)).status === 200)
    const more = (await service.ended(over.body.runId)).body.usage.totalTokens
    t.same(
      await sums(service),
      { reserved: 0, used: limit + 1 + more },
      'tokens beyond the budget are counted too',
    )
  })

  t.test('a start that the engine refuses returns its reserved tokens', async (t) => {
    const service = await startService(t, { engine, databaseUrl, environment })
    const { start } = service.app.engine
    service.app.engine.start = () => Promise.reject(new Error('no'))
    t.equal((await ask(service, {}, { user: 'frank' })).status, 500)
    service.app.engine.start = start
    t.same(await sums(service, 'user', 'frank'), { reserved: 0, used: 0 })
    const { body } = await service.call('GET', '/api/agent/usage', { user: 'frank' })
    t.same(body.budget.user, { limit, used: 0, reserved: 0, left: limit })
  })
})
