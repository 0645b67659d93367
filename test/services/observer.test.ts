import { once } from 'node:events'
import t from 'tap'
import type { ServiceContext } from '../../src/services/context.ts'
import { finalizer } from '../../src/services/end/finalizer.ts'
import { turnTag } from '../../src/services/run-tags.ts'
import { observer } from '../../src/services/upkeep/observer.ts'
import { startService } from '../support/service.ts'
import { storedTurn, until } from './rows.ts'

t.test('the observer misses no end when its subscription is opened again', async (t) => {
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

t.test(
  'the observer stores a completed run before sixty-four runs that crashed at the same moment',
  async (t) => {
    const at = new Date()
    const crashed = Array.from({ length: 64 }, (_, n) => `run_crashed${n}`)
    const told: string[] = []
    const { promise: allTold, resolve } = Promise.withResolvers<void>()
    const summary = (runId: string) => ({
      runId,
      status: runId === 'run_completed' ? ('completed' as const) : ('failed' as const),
      tags: [turnTag('00000000-0000-7000-8000-000000000000')],
      createdAt: at,
      startedAt: at,
      finishedAt: at,
    })
    const output = {
      uiMessage: { id: 'a', role: 'assistant', parts: [] },
      usage: { inputTokens: 1, outputTokens: 1, totalTokens: 2 },
      finishReason: 'stop',
      chunkCount: 0,
    }
    const context = {
      engine: {
        get: async (runId: string) => ({
          ...summary(runId),
          ...(runId === 'run_completed' ? { output } : { failureCode: 'crashed' }),
        }),
        /** The stream of a killed worker: some words, and no last chunk. */
        async *chunks(_runId: string, signal: AbortSignal, { onOpen }: { onOpen(): void }) {
          onOpen()
          yield { index: 0, chunk: { type: 'start', messageId: 'm' } }
          await once(signal, 'abort')
        },
        async *changes(_tag: string, signal: AbortSignal) {
          for (const runId of [...crashed, 'run_completed']) yield summary(runId)
          await once(signal, 'abort')
        },
      },
      log: { info() {}, warn: (...line: unknown[]) => t.fail(JSON.stringify(line)), error() {} },
      tags: { service: async () => 'service_test', instance: 'instance_test' },
      stores: {
        ends: {
          finalize: async ({ runId }: { runId: string }) => {
            told.push(runId)
            if (told.length > crashed.length) resolve()
            return true
          },
        },
      },
    } as unknown as ServiceContext
    const stop = new AbortController()
    const since = performance.now()
    const watching = observer(context, finalizer(context), { stopIfUnwanted: async () => {} }).watch(
      stop.signal,
    )
    await allTold
    t.equal(told[0], 'run_completed')
    t.comment(`all ${told.length} ends were stored after ${Math.round(performance.now() - since)} ms`)
    t.same(told.slice(1).sort(), crashed.sort())
    stop.abort()
    await watching
  },
)
