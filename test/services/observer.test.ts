import t from 'tap'
import { turnTag } from '../../src/services/context.ts'
import { observer } from '../../src/services/observer.ts'
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
  const settle = async (turnId: string) => settled.add(turnId) !== undefined
  const stop = new AbortController()
  const watching = observer(context, { settle }, { stray: async () => {} }, { reopenMs: 100 }).watch(
    stop.signal,
  )

  const turns: string[] = []
  while (opened < 5) {
    const turn = storedTurn(turns.length, '00000000-0000-7000-8000-000000000000')
    const tags = ['service_test', instance, turnTag(turn.turnId)]
    const payload = { version: 1, ...turn, conversationId: null, history: [], ahead: [] }
    const times = { ttlSeconds: 60, maxDurationSeconds: 60, keySeconds: 60 }
    await app.engine.start(payload, { engineKey: turn.turnId, concurrencyKey: turn.turnId, tags, ...times })
    turns.push(turn.turnId)
    await until(async () => turns.length - settled.size < 3)
  }
  await until(async () => turns.every((turn) => settled.has(turn)))
  t.pass(`${turns.length} runs over ${opened} subscriptions`)
  stop.abort()
  await watching
})
