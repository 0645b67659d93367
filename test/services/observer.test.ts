import t from 'tap'
import { turnTag } from '../../src/services/run-tags.ts'
import { observer } from '../../src/services/upkeep/observer.ts'
import { startService } from '../support/service.ts'
import { storedTurn, until } from './rows.ts'

t.test('a subscription that is opened anew misses no end', async (t) => {
  const { app } = await startService(t)
  const instance = 'instance_reopened'
  const settled = new Set<string>()
  let opened = 0
  const engine = {
    ...app.engine,
    changes(...args: Parameters<typeof app.engine.changes>) {
      opened += 1
      return app.engine.changes(...args)
    },
  }
  const context = {
    stores: app.stores,
    engine,
    log: { info() {}, warn() {}, error() {} },
    tags: { service: async () => 'service_test', instance },
    settings: { ttlSeconds: 60, maxDurationSeconds: 60, retentionDays: 1, largePayloads: false },
  }
  const settle = async (runId: string) => settled.add(runId) !== undefined
  const stop = new AbortController()
  const watching = observer(context, { settle }, { stopIfUnwanted: async () => {} }, { reopenMs: 100 }).watch(
    stop.signal,
  )

  const runs: string[] = []
  while (opened < 5) {
    const turn = storedTurn(runs.length, '00000000-0000-7000-8000-000000000000')
    const tags = ['service_test', instance, turnTag(turn.turnId)]
    const payload = { version: 1, ...turn, conversationId: null, history: [], ahead: [] }
    const times = { ttlSeconds: 60, maxDurationSeconds: 60, keySeconds: 60 }
    const options = { engineKey: turn.turnId, concurrencyKey: turn.turnId, tags, ...times }
    runs.push(await app.engine.start(payload, options))
    await until(async () => runs.length - settled.size < 3)
  }
  await until(async () => runs.every((runId) => settled.has(runId)))
  t.pass(`${runs.length} runs over ${opened} subscriptions`)
  stop.abort()
  await watching
})
