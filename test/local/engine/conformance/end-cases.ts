import assert from 'node:assert/strict'
import { runs } from '@trigger.dev/sdk'
import {
  began,
  type Case,
  ended,
  failureOf,
  get,
  reaches,
  readAll,
  runToEnd,
  start,
  unique,
} from './suite.ts'

/** How runs end: failures, retries, crashes, cancels, limits of time. */
export const endCases: Case[] = [
  {
    name: 'an executing run says so: started, not ended, no output',
    run: async () => {
      const id = await start('patient', { ms: 60_000 })
      await began(id)
      const run = await get(id)
      assert.equal(run.status, 'EXECUTING')
      assert.equal(run.isExecuting, true)
      assert(run.startedAt)
      assert.equal(run.finishedAt, undefined)
      assert.equal(run.output, undefined)
      await runs.cancel(id)
    },
  },
  {
    name: 'a task that throws FAILS with name, message and stack of its error',
    run: async () => {
      const run = await runToEnd('boom')
      assert.equal(run.status, 'FAILED')
      assert.equal(run.isFailed, true)
      assert.equal(run.error?.name, 'TypeError')
      assert.equal(run.error?.message, 'kaboom')
      assert.match(run.error?.stackTrace ?? '', /kaboom/)
      assert.equal(run.output, undefined)
    },
  },
  {
    name: 'a task that fails is tried again as its retry settings say',
    run: async () => {
      const run = await runToEnd('flaky', { succeedAt: 3 })
      assert.equal(run.status, 'COMPLETED')
      assert.equal(run.attemptCount, 3)
      assert.deepEqual(run.output, { attempt: 3 })
    },
  },
  {
    name: 'a task that fails in all its attempts FAILS with the last error',
    run: async () => {
      const run = await runToEnd('flaky', { succeedAt: 9 })
      assert.equal(run.status, 'FAILED')
      assert.equal(run.attemptCount, 3)
      assert.equal(run.error?.message, 'attempt 3')
    },
  },
  {
    name: 'maxAttempts of the trigger limits the attempts',
    run: async () => {
      const run = await runToEnd('flaky', { succeedAt: 2 }, { maxAttempts: 1 })
      assert.equal(run.status, 'FAILED')
      assert.equal(run.attemptCount, 1)
    },
  },
  {
    name: 'AbortTaskRunError ends the run without another attempt',
    run: async () => {
      const run = await runToEnd('hopeless')
      assert.equal(run.status, 'FAILED')
      assert.equal(run.attemptCount, 1)
      assert.equal(run.error?.message, 'no use')
    },
  },
  {
    name: 'schemaTask takes a payload that fits',
    run: async () => assert.equal((await runToEnd('typed', { n: 21 })).output, 42),
  },
  {
    name: 'schemaTask FAILS with a payload that does not fit',
    run: async () => {
      const run = await runToEnd('typed', { n: 'many' })
      assert.equal(run.status, 'FAILED')
      assert(run.error?.message)
    },
  },
  {
    name: 'a task that ends its process CRASHES, and the runs beside it do not notice',
    run: async () => {
      const beside = await start('ordered', { ms: 300 }, { concurrencyKey: unique() })
      const run = await runToEnd('exits')
      assert.equal(run.status, 'CRASHED')
      assert.equal(run.isFailed, true)
      assert(run.error)
      assert.equal((await ended(beside)).status, 'COMPLETED')
    },
  },
  {
    name: 'a task whose process ends is tried again as its retry settings say',
    run: async () => {
      const run = await runToEnd('crashy', { succeedAt: 3, how: 'exit' })
      assert.equal(run.status, 'COMPLETED')
      assert.deepEqual(run.output, { attempt: 3 })
    },
  },
  {
    name: 'a task whose process ends in all its attempts CRASHES',
    run: async () => {
      const run = await runToEnd('crashy', { succeedAt: 9, how: 'exit' })
      assert.equal(run.status, 'CRASHED')
      assert.equal(run.attemptCount, 3)
    },
  },
  {
    name: 'a task with an exception outside of its run function is tried again, and FAILS in the end',
    run: async () => {
      const again = await runToEnd('crashy', { succeedAt: 2, how: 'throw' })
      assert.deepEqual(again.output, { attempt: 2 })
      const failed = await runToEnd('crashy', { succeedAt: 9, how: 'throw' })
      assert.equal(failed.status, 'FAILED')
      assert.equal(failed.attemptCount, 3)
      assert.match(failed.error?.message ?? '', /TASK_RUN_UNCAUGHT_EXCEPTION/)
    },
  },
  {
    name: 'a process that was killed, as for want of memory, is not tried again',
    run: async () => {
      const run = await runToEnd('crashy', { succeedAt: 2, how: 'SIGKILL' })
      assert.equal(run.status, 'CRASHED')
      assert.equal(run.attemptCount, 1)
    },
  },
  {
    name: 'an exception outside of the run function ends the run as failed',
    run: async () => {
      const run = await runToEnd('throws-later')
      assert(run.isFailed, run.status)
      assert.equal(run.isSuccess, false)
    },
  },
  {
    name: 'a cancelled run is CANCELED at once, and its end follows',
    run: async () => {
      const id = await start('patient', { ms: 60_000 })
      await began(id)
      await runs.cancel(id)
      const run = await get(id)
      assert.equal(run.status, 'CANCELED')
      assert.equal(run.isCancelled, true)
      assert.equal(run.error?.message, 'Canceled by user')
      assert((await ended(id)).finishedAt)
    },
  },
  {
    name: 'a cancelled task is told of the cancel and can still write to its stream',
    run: async () => {
      const id = await start('patient', { ms: 60_000 })
      await began(id)
      await runs.cancel(id)
      assert.deepEqual(await readAll(id, 2), ['began', 'stopped'])
    },
  },
  {
    name: 'a task that ignores the cancel ends all the same, without output',
    run: async () => {
      const id = await start('stubborn', { ms: 120_000 })
      await began(id)
      await runs.cancel(id)
      const run = await ended(id)
      assert.equal(run.status, 'CANCELED')
      assert.equal(run.output, undefined)
    },
  },
  {
    name: 'a run that is cancelled before its start never starts',
    run: async () => {
      const key = unique()
      const ahead = await start('ordered', { ms: 60_000 }, { concurrencyKey: key })
      await reaches(ahead, 'EXECUTING')
      const id = await start('ordered', {}, { concurrencyKey: key })
      assert.equal((await get(id)).status, 'QUEUED')
      await runs.cancel(id)
      const run = await get(id)
      assert.equal(run.status, 'CANCELED')
      assert.equal(run.startedAt, undefined)
      assert.equal(run.attemptCount, 0)
      await runs.cancel(ahead)
    },
  },
  {
    name: 'cancelling a completed run is accepted and changes nothing',
    run: async () => {
      const { id } = await runToEnd('echo', 1)
      assert.deepEqual(await runs.cancel(id), { id })
      assert.equal((await get(id)).status, 'COMPLETED')
    },
  },
  {
    name: 'cancelling twice is accepted',
    run: async () => {
      const id = await start('patient', { ms: 60_000 })
      await runs.cancel(id)
      assert.deepEqual(await runs.cancel(id), { id })
      assert.equal((await get(id)).status, 'CANCELED')
    },
  },
  {
    name: 'cancelling an unknown run is 404',
    run: async () => {
      const failure = await failureOf(runs.cancel('run_doesnotexist', { retry: { maxAttempts: 1 } }))
      assert.equal(failure.status, 404)
    },
  },
  {
    name: 'retrieving an unknown run is 404, and says that it is worth another try',
    run: async () => {
      const failure = await failureOf(get('run_doesnotexist'))
      assert.equal(failure.status, 404)
      assert.equal(failure.headers?.['x-should-retry'], 'true')
    },
  },
  {
    name: 'a run that is not started within its ttl EXPIRES',
    run: async () => {
      const key = unique()
      const ahead = await start('ordered', { ms: 60_000 }, { concurrencyKey: key })
      const id = await start('ordered', {}, { concurrencyKey: key, ttl: 1 })
      const run = await reaches(id, 'EXPIRED')
      assert(run.expiredAt)
      assert.equal(run.startedAt, undefined)
      assert.match(run.error?.message ?? '', /TTL/)
      await runs.cancel(ahead)
    },
  },
  {
    name: 'a run with a delay is DELAYED, then completes',
    run: async () => {
      const id = await start('echo', 1, { delay: new Date(Date.now() + 1500) })
      const run = await get(id)
      assert.equal(run.status, 'DELAYED')
      assert(run.delayedUntil && run.delayedUntil > run.createdAt)
      const { startedAt } = await ended(id)
      assert(startedAt && startedAt >= run.delayedUntil)
    },
  },
  {
    name: 'a delayed run can be moved, and cancelled',
    run: async () => {
      const id = await start('echo', 1, { delay: '1h' })
      const moved = await runs.reschedule(id, { delay: '2h' })
      assert(moved.delayedUntil && moved.delayedUntil.getTime() > Date.now() + 5_400_000)
      await runs.cancel(id)
      assert.equal((await get(id)).status, 'CANCELED')
    },
  },
  {
    name: 'a run that outlasts its maxDuration is TIMED_OUT',
    run: async () => {
      const run = await runToEnd('stubborn', { ms: 60_000 }, { maxDuration: 5 })
      assert.equal(run.status, 'TIMED_OUT')
      assert.match(run.error?.message ?? '', /MAX_DURATION_EXCEEDED/)
    },
  },
]
