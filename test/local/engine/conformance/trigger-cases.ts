import assert from 'node:assert/strict'
import { auth, runs, tasks } from '@trigger.dev/sdk'
import { type Case, ended, failureOf, get, reaches, runToEnd, start, Unable, unique } from './suite.ts'

const KiB = 1024

const NO_OBJECT_STORE = 'the server has no object store'

/** Passes a call on; a server without an object store has nowhere to upload to, and says so. */
async function orUnable<T>(call: Promise<T>): Promise<T> {
  try {
    return await call
  } catch (error) {
    const { status, message } = error as { status?: number; message: string }
    if (status === 500 && /presigned URL/.test(message)) throw new Unable(NO_OBJECT_STORE)
    throw error
  }
}

export const triggerCases: Case[] = [
  {
    name: 'a run is QUEUED or further right after it was triggered, and completes with its output',
    run: async () => {
      const id = await start('echo', { a: 1 })
      assert.match(id, /^run_[a-z0-9]+$/)
      assert.equal((await get(id)).id, id)
      const run = await ended(id)
      assert.equal(run.status, 'COMPLETED')
      assert.deepEqual(run.output, { echoed: { a: 1 } })
      assert.deepEqual(run.payload, { a: 1 })
      assert.equal(run.taskIdentifier, 'echo')
      assert.equal(run.attemptCount, 1)
    },
  },
  {
    name: 'dates of a completed run are in order',
    run: async () => {
      const { createdAt, startedAt, finishedAt, updatedAt } = await runToEnd('echo')
      assert(startedAt && finishedAt)
      assert(createdAt <= startedAt && startedAt <= finishedAt && finishedAt <= updatedAt)
    },
  },
  {
    name: 'a completed run is completed and successful, and nothing else',
    run: async () => {
      const { isQueued, isExecuting, isWaiting, isCompleted, isSuccess, isFailed, isCancelled } =
        await runToEnd('echo')
      assert.deepEqual(
        { isQueued, isExecuting, isWaiting, isCompleted, isSuccess, isFailed, isCancelled },
        {
          isQueued: false,
          isExecuting: false,
          isWaiting: false,
          isCompleted: true,
          isSuccess: true,
          isFailed: false,
          isCancelled: false,
        },
      )
    },
  },
  {
    name: 'without a payload the task gets none',
    run: async () => {
      const run = await runToEnd('echo')
      assert.equal(run.payload, undefined)
      assert.equal((run.output as { echoed?: unknown }).echoed ?? undefined, undefined)
    },
  },
  {
    name: 'a string is passed on as it is',
    run: async () => {
      const run = await runToEnd('echo', '{"not":"parsed"}')
      assert.equal(run.payload, '{"not":"parsed"}')
      assert.deepEqual(run.output, { echoed: '{"not":"parsed"}' })
    },
  },
  {
    name: 'nested values, nulls and any script survive',
    run: async () => {
      const payload = { list: [1, null, [2.5, { deep: true }]], text: 'é漢字🙂\u2028"\\', empty: {} }
      assert.deepEqual((await runToEnd('echo', payload)).output, { echoed: payload })
    },
  },
  {
    name: 'a Date reaches the task as a Date and comes back as a string',
    run: async () => {
      const run = await runToEnd('dates', { at: new Date('2026-01-01T00:00:00Z') })
      assert.deepEqual(run.output, { isDate: true, next: '2026-01-01T00:00:01.000Z' })
    },
  },
  {
    name: 'a task that returns nothing has no output',
    run: async () => {
      const run = await runToEnd('nothing')
      assert.equal(run.status, 'COMPLETED')
      assert.equal(run.output, undefined)
    },
  },
  {
    name: 'a payload of 120 KiB goes inline',
    run: async () => {
      const run = await runToEnd('measure', 'x'.repeat(120 * KiB))
      assert.equal(run.output, 120 * KiB)
    },
  },
  {
    name: 'a payload of 200 KiB goes through the object store',
    run: async () => {
      const id = await orUnable(start('measure', 'x'.repeat(200 * KiB)))
      assert.equal((await ended(id)).output, 200 * KiB)
    },
  },
  {
    name: 'an output of 200 KiB comes through the object store',
    run: async () => {
      const run = await runToEnd('bulky', { bytes: 200 * KiB })
      // What a worker says that could not upload what its task had returned.
      if (run.error?.message.includes('TASK_OUTPUT_ERROR')) throw new Unable(NO_OBJECT_STORE)
      assert.equal(run.status, 'COMPLETED')
      assert.equal(String(run.output).length, 200 * KiB)
    },
  },
  {
    name: 'a request that is too large for the server is refused with 413',
    run: async () => {
      // Of what goes into a request the SDK puts only the payload into the object store.
      const metadata = { text: 'x'.repeat(4 * KiB * KiB) }
      const failure = await failureOf(start('echo', 1, { metadata }))
      assert.equal(failure.status, 413)
      assert.match(failure.message, /too large/)
    },
  },
  {
    name: 'the handle has a token that may read the run',
    run: async ({ url }) => {
      const { id, publicAccessToken: accessToken } = await tasks.trigger('echo', 1)
      await auth.withAuth({ baseURL: url, accessToken }, async () => assert.equal((await get(id)).id, id))
    },
  },
  {
    name: 'tags, metadata and ttl of the trigger are shown',
    run: async () => {
      const tags = [unique(), unique()]
      const run = await runToEnd('echo', 1, { tags, metadata: { by: 'test', n: 1 }, ttl: '5m' })
      assert.deepEqual([...run.tags].sort(), tags.sort())
      assert.deepEqual(run.metadata, { by: 'test', n: 1 })
      assert.equal(run.ttl, '5m')
    },
  },
  {
    name: 'a ttl in seconds is shown as a duration',
    run: async () => assert.equal((await get(await start('echo', 1, { ttl: 90 }))).ttl, '1m30s'),
  },
  {
    name: 'metadata of more than 256 KiB is refused with 413',
    run: async () => {
      const metadata = { text: 'x'.repeat(257 * KiB) }
      assert.equal((await failureOf(start('echo', 1, { metadata }))).status, 413)
    },
  },
  {
    name: 'a development run without a ttl gets ten minutes',
    run: async () => assert.equal((await get(await start('echo'))).ttl, '10m'),
  },
  {
    name: 'the task learns in ctx which run, attempt, task and queue it is',
    run: async () => {
      const tag = unique()
      const run = await runToEnd('witness', {}, { tags: [tag] })
      const { ctx, aborted } = run.output as {
        ctx: Record<string, Record<string, unknown>>
        aborted: boolean
      }
      assert.equal(ctx.run?.id, run.id)
      assert.deepEqual(ctx.run?.tags, [tag])
      assert.equal(ctx.attempt?.number, 1)
      assert.equal(ctx.task?.id, 'witness')
      assert.equal(ctx.queue?.name, 'task/witness')
      assert.equal(ctx.environment?.type, 'DEVELOPMENT')
      assert.equal(aborted, false)
    },
  },
  {
    name: 'an unknown task is accepted and waits for a version',
    run: async () => {
      const id = await start(`unknown-${unique()}`)
      assert.equal((await reaches(id, 'PENDING_VERSION')).isQueued, true)
      await runs.cancel(id)
    },
  },
  {
    name: 'a queue that no task file declares is accepted and waits for a version',
    run: async () => {
      const id = await start('echo', 1, { queue: `undeclared-${unique()}` })
      await reaches(id, 'PENDING_VERSION')
      await runs.cancel(id)
    },
  },
  {
    name: 'options of the wrong type are refused with 400, which names them',
    run: async () => {
      const failure = await failureOf(start('echo', 1, { maxAttempts: 'many' as unknown as number }))
      assert.equal(failure.status, 400)
      assert.match(failure.message, /maxAttempts/)
    },
  },
  {
    name: 'a wrong key is refused with 401',
    run: async () => {
      const clientConfig = { accessToken: 'tr_dev_not_the_key' }
      const failure = await failureOf(tasks.trigger('echo', 1, {}, { clientConfig }))
      assert.equal(failure.status, 401)
    },
  },
  {
    name: 'a run can be replayed: a new id, the same payload',
    run: async () => {
      const first = await runToEnd('echo', { again: true })
      const { id } = await runs.replay(first.id)
      assert.notEqual(id, first.id)
      assert.deepEqual((await ended(id)).output, { echoed: { again: true } })
    },
  },
  {
    name: 'a task can look up another run, payload and output included',
    run: async () => {
      const { id } = await runToEnd('echo', { seen: 'by another' })
      const run = await runToEnd('lookup', { runId: id })
      assert.deepEqual(run.output, {
        status: 'COMPLETED',
        payload: { seen: 'by another' },
        output: { echoed: { seen: 'by another' } },
      })
    },
  },
  {
    name: 'a task can trigger another; both know of each other',
    run: async () => {
      const parent = await runToEnd('parent')
      const child = await ended(String(parent.output))
      assert.equal(child.depth, 1)
      assert.deepEqual(
        (await get(parent.id)).relatedRuns.children?.map(({ id }) => id),
        [child.id],
      )
    },
  },
]
