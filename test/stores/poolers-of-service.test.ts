import { setTimeout } from 'node:timers/promises'
import t from 'tap'
import type { LocalEngine } from '../../src/local/engine/engine.ts'
import { startPgBouncer, WITHOUT_PGBOUNCER } from '../support/pgbouncer.ts'
import { createDatabase } from '../support/postgres.ts'
import { startEngine, startService } from '../support/service.ts'

const skip = WITHOUT_PGBOUNCER
/** Serves both tests: its start is what takes long. */
let engine: LocalEngine
if (!skip)
  t.before(async () => {
    engine = await startEngine(t)
  })

for (const mode of ['session', 'transaction'] as const) {
  t.test(
    `60 syncs at once through PgBouncer in ${mode} mode are answered and stored`,
    { skip },
    async (t) => {
      const direct = await createDatabase(t)
      const databaseUrl = (await startPgBouncer(t, direct, { mode, poolSize: 10 })).url
      const { app, call } = await startService(t, { databaseUrl, engine })
      while ((await call('GET', '/readyz')).body.status !== 'ok') await setTimeout(50)
      const answers = await Promise.all(
        Array.from({ length: 60 }, async (_, n) => {
          const answer = await call('POST', '/api/agent/chat/sync', {
            body: { message: `What is ${n} + 1?` },
            headers: { prefer: 'wait=120' },
          })
          return { status: answer.status, state: answer.body.status, text: answer.body.text }
        }),
      )
      t.same(
        answers,
        answers.map((_, n) => ({ status: 200, state: 'completed', text: `${n} + 1 = ${n + 1}.` })),
      )
      t.ok(app.database.pool().total > 1, 'several connections were used')
      t.equal((await call('GET', '/api/agent/chat?limit=100&status=completed')).body.data.length, 60)
    },
  )
}
