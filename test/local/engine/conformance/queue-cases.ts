import assert from 'node:assert/strict'
import { idempotencyKeys, runs, tasks } from '@trigger.dev/sdk'
import { began, type Case, ended, failureOf, get, reaches, runToEnd, start, unique } from './suite.ts'

interface Span {
  from: number
  to: number
}

const spans = async (ids: string[]): Promise<Span[]> =>
  Promise.all(ids.map(async (id) => (await ended(id)).output as unknown as Span))

/** The order of runs, and which triggers make a run: queues and idempotency keys. */
export const queueCases: Case[] = [
  {
    name: 'runs of one concurrency key go one by one, first in first out',
    run: async () => {
      const concurrencyKey = unique()
      const ids: string[] = []
      for (let n = 0; n < 5; n++) ids.push(await start('ordered', { ms: 20 }, { concurrencyKey }))
      const all = await spans(ids)
      for (const [n, span] of all.slice(1).entries())
        assert(span.from >= (all[n]?.to ?? 0), `run ${n + 1} overtook`)
    },
  },
  {
    name: 'runs of different keys go side by side',
    run: async () => {
      const [one, other] = [await start('patient', { ms: 60_000 }), await start('patient', { ms: 60_000 })]
      await Promise.all([began(one), began(other)])
      assert.deepEqual([(await get(one)).status, (await get(other)).status], ['EXECUTING', 'EXECUTING'])
      await Promise.all([runs.cancel(one), runs.cancel(other)])
    },
  },
  {
    name: 'a queue executes as many runs at once as its limit allows, and no more',
    run: async () => {
      const ids = []
      for (let n = 0; n < 4; n++) ids.push(await start('paired', { ms: 100 }))
      const all = await spans(ids)
      for (const { from } of all) {
        const together = all.filter((other) => other.from <= from && from < other.to).length
        assert(together <= 2, `${together} at once`)
      }
    },
  },
  {
    name: 'twenty runs at once all complete, each with its own output',
    run: async () => {
      const ids = await Promise.all(Array.from({ length: 20 }, (_, n) => start('echo', { n })))
      assert.equal(new Set(ids).size, 20)
      const outputs = await Promise.all(ids.map(async (id) => (await ended(id)).output))
      assert.deepEqual(
        outputs,
        Array.from({ length: 20 }, (_, n) => ({ echoed: { n } })),
      )
    },
  },
  {
    name: 'a cancelled run gives its slot to the next of its key',
    run: async () => {
      const concurrencyKey = unique()
      const ahead = await start('ordered', { ms: 60_000 }, { concurrencyKey })
      await reaches(ahead, 'EXECUTING')
      const next = await start('ordered', {}, { concurrencyKey })
      await runs.cancel(ahead)
      assert.equal((await ended(next)).status, 'COMPLETED')
    },
  },
  {
    name: 'a run that is cancelled in the queue does not hold up those behind it',
    run: async () => {
      const concurrencyKey = unique()
      const [ahead, middle, last] = [
        await start('ordered', { ms: 300 }, { concurrencyKey }),
        await start('ordered', {}, { concurrencyKey }),
        await start('ordered', {}, { concurrencyKey }),
      ]
      await runs.cancel(middle)
      assert.equal((await ended(last)).status, 'COMPLETED')
      assert.equal((await get(ahead)).status, 'COMPLETED')
      assert.equal((await get(middle)).startedAt, undefined)
    },
  },
  {
    name: 'a run that crashes gives its slot back',
    run: async () => {
      const options = { queue: 'one-by-one', concurrencyKey: unique() }
      const crash = await start('exits', {}, options)
      const next = await start('echo', 1, options)
      assert.equal((await ended(next)).status, 'COMPLETED')
      assert.equal((await get(crash)).status, 'CRASHED')
    },
  },
  {
    name: 'the same idempotency key gives the same run while it lives',
    run: async () => {
      const idempotencyKey = unique()
      const id = await start('patient', { ms: 60_000 }, { idempotencyKey })
      const again = await tasks.trigger('patient', { ms: 1 }, { idempotencyKey })
      assert.equal(again.id, id)
      assert.equal((again as { isCached?: boolean }).isCached, true)
      await runs.cancel(id)
    },
  },
  {
    name: 'the key gives the same run after that run has completed, and the run shows the key as the caller wrote it',
    run: async () => {
      const idempotencyKey = unique()
      const run = await runToEnd('echo', 1, { idempotencyKey })
      assert.equal(run.idempotencyKey, idempotencyKey)
      assert.equal(await start('echo', 2, { idempotencyKey }), run.id)
    },
  },
  {
    name: 'the key gives the same run after that run was cancelled',
    run: async () => {
      const idempotencyKey = unique()
      const id = await start('echo', 1, { idempotencyKey, delay: '1h' })
      await runs.cancel(id)
      assert.equal(await start('echo', 2, { idempotencyKey }), id)
    },
  },
  {
    name: 'the key gives a new run after a failure',
    run: async () => {
      const idempotencyKey = unique()
      const run = await runToEnd('boom', 1, { idempotencyKey })
      const again = await tasks.trigger('boom', 1, { idempotencyKey })
      assert.notEqual(again.id, run.id)
      assert.notEqual((again as { isCached?: boolean }).isCached, true)
    },
  },
  {
    name: 'the key gives a new run after a crash, after a run that took too long, and after one that expired',
    run: async () => {
      const concurrencyKey = unique()
      const ahead = await start('ordered', { ms: 60_000 }, { concurrencyKey })
      const ends = [
        ['CRASHED', 'exits', {}, {}],
        ['TIMED_OUT', 'stubborn', { ms: 60_000 }, { maxDuration: 5 }],
        ['EXPIRED', 'ordered', {}, { concurrencyKey, ttl: 1 }],
      ] as const
      await Promise.all(
        ends.map(async ([status, task, payload, options]) => {
          const keyed = { ...options, idempotencyKey: unique() }
          const first = await start(task, payload, keyed)
          await reaches(first, status)
          const again = await start(task, payload, keyed)
          assert.notEqual(again, first, status)
          await runs.cancel(again)
        }),
      )
      await runs.cancel(ahead)
    },
  },
  {
    name: 'the key gives a new run when the key has expired',
    run: async () => {
      const options = { idempotencyKey: unique(), idempotencyKeyTTL: '1s' }
      const first = await start('echo', 1, options)
      assert.equal(await start('echo', 1, options), first)
      await ended(await start('echo', 1, { delay: new Date(Date.now() + 1200) }))
      assert.notEqual(await start('echo', 1, options), first)
    },
  },
  {
    name: 'the key gives a new run after the key was reset',
    run: async () => {
      const key = await idempotencyKeys.create(unique(), { scope: 'global' })
      const run = await runToEnd('echo', 1, { idempotencyKey: key })
      await idempotencyKeys.reset('echo', key)
      assert.notEqual(await start('echo', 1, { idempotencyKey: key }), run.id)
    },
  },
  {
    name: 'resetting a key that no run has is 404',
    run: async () => {
      const key = await idempotencyKeys.create(unique(), { scope: 'global' })
      assert.equal((await failureOf(idempotencyKeys.reset('echo', key))).status, 404)
    },
  },
  {
    name: 'the key counts per task',
    run: async () => {
      const idempotencyKey = unique()
      const ids = [await start('echo', 1, { idempotencyKey }), await start('nothing', 1, { idempotencyKey })]
      assert.notEqual(ids[0], ids[1])
    },
  },
  {
    name: 'two triggers with one key at the same time make one run',
    run: async () => {
      const idempotencyKey = unique()
      const ids = await Promise.all(Array.from({ length: 5 }, () => start('echo', 1, { idempotencyKey })))
      assert.equal(new Set(ids).size, 1)
    },
  },
]
