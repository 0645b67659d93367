import t from 'tap'
import { startService } from '../support/service.ts'

const CHAT = '/api/agent/chat'
const MESSAGES = ['Hello', 'What is 17 * 23?', '[[fail]]', '[[fail-after:3]] Tell me a story', '[[length]]']
/** Rounds of ten runs each. USAGE_ROUNDS=20 makes 200 runs. */
const ROUNDS = Number(process.env.USAGE_ROUNDS ?? 4)
const TOKENS = ['inputTokens', 'outputTokens', 'totalTokens', 'cachedInputTokens', 'reasoningTokens'] as const

t.test('the report of usage', async (t) => {
  const service = await startService(t)
  const report = async (query = '', user = 'alice') =>
    (await service.call('GET', `/api/agent/usage${query}`, { user })).body
  const today = new Date().toISOString().slice(0, 10)

  t.test('the report of usage equals the sum of all polls, failed and cancelled runs included', async (t) => {
    const runs: string[] = []
    for (let round = 0; round < ROUNDS; round++) {
      const started = await Promise.all(
        Array.from({ length: 10 }, async (_, n) => {
          const isCancelled = n === 9
          const message = isCancelled ? 'Tell me a story of 500 sentences' : MESSAGES[n % MESSAGES.length]
          const { body } = await service.call('POST', CHAT, { body: { message } })
          if (isCancelled) {
            if (round % 2 === 0)
              await service.call('GET', `${CHAT}/${body.runId}?wait=5`, { headers: { 'if-none-match': '*' } })
            await service.call('POST', `${CHAT}/${body.runId}/cancel`)
          }
          return body.runId
        }),
      )
      await Promise.all(started.map((runId) => service.ended(runId)))
      runs.push(...started)
    }
    const polls = await Promise.all(runs.map(async (runId) => (await service.ended(runId)).body))
    const statuses = (status: string) => polls.filter((poll) => poll.status === status).length
    const expected = {
      runs: 10 * ROUNDS,
      completed: statuses('completed'),
      failed: statuses('failed'),
      cancelled: statuses('cancelled'),
      estimated: polls.filter(({ usage }) => usage?.estimated).length,
      ...Object.fromEntries(
        TOKENS.map((name) => [name, polls.reduce((sum, { usage }) => sum + (usage?.[name] ?? 0), 0)]),
      ),
    }
    t.equal(expected.cancelled, ROUNDS)
    t.equal(expected.failed, 4 * ROUNDS)
    for (const groupBy of ['day', 'agent', 'model']) {
      const { data, total } = await report(`?groupBy=${groupBy}`)
      t.same(total, expected, groupBy)
      for (const name of Object.keys(expected) as Array<keyof typeof expected>)
        t.equal(
          data.reduce((sum: number, group: Record<string, number>) => sum + (group[name] ?? 0), 0),
          expected[name],
          `the groups add up to the total: ${groupBy}, ${name}`,
        )
    }
    const models = new Map<string | null, number>()
    for (const { model = null } of polls) models.set(model, (models.get(model) ?? 0) + 1)
    const byModel = (await report('?groupBy=model')).data
    t.same(new Map(byModel.map(({ model, runs }: { model: string; runs: number }) => [model, runs])), models)
    t.same(
      (await report('?groupBy=agent')).data.map(({ agent }: { agent: string }) => agent),
      ['default'],
    )
    t.same((await report('', 'bob')).total.runs, 0, "another user's report does not count these runs")
  })

  t.test('the report keeps the usage of deleted conversations', async (t) => {
    const before = (await report()).total
    const { body } = await service.call('POST', `${CHAT}/sync`, { body: { message: 'Hello' } })
    await service.call('DELETE', `/api/agent/conversations/${body.conversationId}`)
    const after = (await report()).total
    t.equal(after.runs, before.runs + 1)
    t.equal(after.totalTokens, before.totalTokens + body.usage.totalTokens)
  })

  t.test('the report counts whole days of UTC, `from` and `to` included', async (t) => {
    t.match(await report(), { to: today, groupBy: 'day' })
    await service.app.database.run((db) =>
      db
        .insertInto('usage_days' as never)
        .values(
          ['2020-01-01', '2020-01-02', '2020-01-03'].map((day, n) => ({
            ...{ user_id: 'carol', day, agent: 'default', model: 'm', completed: 1, failed: 0, cancelled: 0 },
            ...{ input_tokens: n, output_tokens: 1, total_tokens: n + 1, cached_input_tokens: 0 },
            ...{ reasoning_tokens: 0, estimated: 0 },
          })) as never,
        )
        .execute(),
    )
    const days = async (query: string) =>
      (await report(query, 'carol')).data.map(({ day }: { day: string }) => day)
    t.same(await days('?from=2020-01-02&to=2020-01-03'), ['2020-01-02', '2020-01-03'])
    t.same(await days('?from=2020-01-02'), ['2020-01-02', '2020-01-03'])
    t.same(await days('?to=2020-01-02'), ['2020-01-01', '2020-01-02'])
    t.same(await days('?from=2020-01-02&to=2020-01-02'), ['2020-01-02'])
    t.match(await report('?from=2020-01-01&to=2020-12-31', 'carol'), { to: '2020-12-31' }, '366 days')
    t.match(await report('?from=2020-01-02', 'carol'), { from: '2020-01-02', to: '2020-01-31' })
    for (const [query = '', message] of [
      ['?from=2020-01-02&to=2020-01-01', 'must not be before `from`'],
      ['?from=2020-01-01&to=2021-01-01', 'must be at most 365 days after `from`'],
      ['?from=2020-02-30', 'must be a day, such as 2026-11-30'],
      ['?to=0000-01-01', 'must be a day, such as 2026-11-30'],
      ['?to=tomorrow', 'must be a day, such as 2026-11-30'],
      ['?groupBy=user', 'must be one of day, agent, model'],
    ])
      t.match(await report(query, 'carol'), { status: 400, errors: [{ in: 'query', message }] }, query)
  })

  t.test('the usage of a day is deleted after 400 days', async (t) => {
    t.equal(await service.app.stores.housekeeping.expireUsage(2), 2)
    t.equal(await service.app.stores.housekeeping.expireUsage(2), 1)
    t.equal(await service.app.stores.housekeeping.expireUsage(2), 0)
    t.not((await report()).total.runs, 0)
  })
})
