import t from 'tap'
import { CHAT, ENDLESS, pair, start } from './instances.ts'
import { query, until } from './rows.ts'

t.test('requests of several callers at the same time', async (t) => {
  const { a, b, toEngine, conversationId } = await pair(t)

  t.test(
    'parallel interrupts and messages of one conversation all end, and each has its own place',
    async (t) => {
      const wishes = ['interrupt', 'enqueue', 'interrupt', 'enqueue', 'interrupt', 'enqueue'] as const
      const answers = await Promise.all(
        wishes.map((ifBusy, n) =>
          start(n % 2 ? a : b, undefined, {
            message: `Tell a story with ${n + 2} sentences.`,
            conversationId,
            ifBusy,
          }),
        ),
      )
      const accepted = answers.filter(({ status }) => status === 202)
      t.ok(accepted.length > 0)
      for (const { body } of accepted) t.match((await b.ended(body.runId)).body.status, /completed|cancelled/)
      await until(
        async () =>
          (
            await query<{ n: number }>(
              b,
              `select ((select count(*) from runs where status in ('queued', 'running'))
               + (select count(*) from turns where state = 'dispatching'))::int n`,
            )
          )[0]?.n === 0,
      )
      const [places] = await query<{ rows: number; different: number }>(
        b,
        `select count(*)::int as rows, count(distinct position)::int as different from messages
       where conversation_id = '${conversationId}' and role = 'user'`,
      )
      t.equal(places?.different, places?.rows)
      t.equal(places?.rows, accepted.length + 1, 'each accepted start has stored one message')
    },
  )

  t.test('the run of a turn is cancelled when its conversation is deleted during the dispatch', async (t) => {
    const { body: conversation } = await b.call('POST', '/api/agent/conversations', { body: {} })
    toEngine.toxics.delayMs = 500
    const starting = start(a, undefined, { message: ENDLESS, conversationId: conversation.id })
    await until(
      async () =>
        (
          await query(b, `select from turns where conversation_id = '${conversation.id}' and run_id is null`)
        )[0],
    )
    t.equal((await b.call('DELETE', `/api/agent/conversations/${conversation.id}`)).status, 204)
    const { status, body } = await starting
    await toEngine.mend()
    t.match(String(status), /202|503/)
    if (status === 202) {
      t.equal((await b.call('GET', `${CHAT}/${body.runId}`)).status, 404)
      await until(async () => (await b.app.engine.get(body.runId))?.status === 'cancelled')
    }
    await until(
      async () =>
        (
          await query(
            b,
            `select from turns left join runs on runs.turn_id = turns.id
             where state = 'dispatching' or status in ('queued', 'running')`,
          )
        ).length === 0,
    )
    t.equal((await query(b, `select from messages where conversation_id = '${conversation.id}'`)).length, 0)
  })
})
