import assert from 'node:assert/strict'
import { auth, runs, streams } from '@trigger.dev/sdk'
import {
  began,
  type Case,
  ended,
  eventually,
  failureOf,
  get,
  observed,
  readAll,
  runToEnd,
  start,
  Unable,
  unique,
} from './suite.ts'

type ListQuery = NonNullable<Parameters<typeof runs.list>[0]>

const list = async (query: ListQuery) => (await runs.list(query)).data
const ids = (items: { id: string }[]) => items.map(({ id }) => id)
const numbers = (count: number) => Array.from({ length: count }, (_, n) => ({ n }))

/** Three runs with a tag of their own, oldest first; the list of a real server lags behind. */
async function three(): Promise<{ tag: string; all: string[] }> {
  const tag = unique()
  const all = [
    await start('echo', 1, { tags: tag }),
    await start('boom', 2, { tags: tag }),
    await start('nothing', 3, { tags: tag }),
  ]
  await Promise.all(all.map(ended))
  await eventually(
    () => list({ tag }),
    (items) => items.length === 3 && items.every((item) => item.isCompleted),
  )
  return { tag, all }
}

/** Watching runs: lists, streams, subscriptions, metadata, tokens. */
export const readCases: Case[] = [
  {
    name: 'the list of a tag has its runs, newest first, without payload and output',
    run: async () => {
      const { tag, all } = await three()
      const items = await list({ tag })
      assert.deepEqual(ids(items), all.toReversed())
      assert.deepEqual(
        items.map(({ status }) => status),
        ['COMPLETED', 'FAILED', 'COMPLETED'],
      )
      assert(items.every((item) => !('payload' in item) && !('output' in item)))
    },
  },
  {
    name: 'the list comes in pages that can be followed forwards and backwards',
    run: async () => {
      const { tag, all } = await three()
      const first = await runs.list({ tag, limit: 2 })
      assert.equal(first.hasNextPage(), true)
      const second = await first.getNextPage()
      assert.deepEqual([...ids(first.data), ...ids(second.data)], all.toReversed())
      assert.equal(second.hasNextPage(), false)
      const previous = await second.getPreviousPage()
      assert.deepEqual(ids(previous.data), ids(first.data).toReversed(), 'a previous page is oldest first')
      assert.equal(previous.hasPreviousPage(), false)
    },
  },
  {
    name: 'the pages of a list can be iterated as one',
    run: async () => {
      const { tag, all } = await three()
      const seen = []
      for await (const run of runs.list({ tag, limit: 1 })) seen.push(run.id)
      assert.deepEqual(seen, all.toReversed())
    },
  },
  {
    name: 'the list can be narrowed by status, task and time of creation',
    run: async () => {
      const { tag, all } = await three()
      assert.deepEqual(ids(await list({ tag, status: ['FAILED', 'CANCELED'] })), [all[1]])
      assert.deepEqual(ids(await list({ tag, taskIdentifier: 'nothing' })), [all[2]])
      assert.equal((await list({ tag, period: '1h' })).length, 3)
      assert.equal((await list({ tag, from: new Date(Date.now() + 60_000) })).length, 0)
      assert.equal((await list({ tag, to: new Date(Date.now() - 3_600_000) })).length, 0)
    },
  },
  {
    name: 'the list can be narrowed by queue and version',
    run: async () => {
      const tag = unique()
      const queued = await runToEnd('echo', 1, { tags: tag, queue: 'two-at-once' })
      const other = await runToEnd('echo', 2, { tags: tag })
      const all = await eventually(
        () => list({ tag }),
        (items) => items.length === 2 && items.every((item) => item.isCompleted),
      )
      assert.deepEqual(ids(await list({ tag, queue: { type: 'custom', name: 'two-at-once' } })), [queued.id])
      assert.deepEqual(ids(await list({ tag, queue: { type: 'task', name: 'echo' } })), [other.id])
      assert.equal((await list({ tag, version: String(all[0]?.version) })).length, 2)
      assert.equal((await list({ tag, version: '20200101.1' })).length, 0)
    },
  },
  {
    name: 'a status that does not exist is refused with 400',
    run: async () => assert.equal((await failureOf(list({ status: ['DONE' as 'COMPLETED'] }))).status, 400),
  },
  {
    name: 'a page of more than a hundred is refused with 400',
    run: async () => assert.equal((await failureOf(list({ limit: 101 }))).status, 400),
  },
  {
    name: 'a stream is read while it is written, in order',
    run: async () =>
      assert.deepEqual(await readAll(await start('writer', { count: 10, gapMs: 15 }), 10), numbers(10)),
  },
  {
    name: 'a stream can be read after the run has completed, more than once',
    run: async () => {
      const { id } = await runToEnd('writer', { count: 5 })
      assert.deepEqual(await readAll(id, 5), numbers(5))
      assert.deepEqual(await readAll(id, 5), numbers(5))
    },
  },
  {
    name: 'two readers of one stream both get everything',
    run: async () => {
      const id = await start('writer', { count: 8, gapMs: 10 })
      const [one, other] = await Promise.all([readAll(id, 8), readAll(id, 8)])
      assert.deepEqual(one, numbers(8))
      assert.deepEqual(other, numbers(8))
    },
  },
  {
    name: 'a stream may be opened before the run has begun',
    run: async () => {
      const id = await start('writer', { count: 3 }, { delay: new Date(Date.now() + 1200) })
      assert.deepEqual(await readAll(id, 3), numbers(3))
    },
  },
  {
    name: 'a stream that a task pipes without waiting has arrived when the run is completed',
    run: async () => {
      const { id } = await runToEnd('hasty-writer', { count: 50 })
      assert.deepEqual(await readAll(id, 50), numbers(50))
    },
  },
  {
    name: 'two thousand chunks arrive, each once and in order',
    run: async () =>
      assert.deepEqual(await readAll(await start('writer', { count: 2000 }), 2000), numbers(2000)),
  },
  {
    name: 'a stream can be read from an index on',
    run: async () => {
      const { id } = await runToEnd('writer', { count: 6 })
      const { value: chunks, headers } = await observed('/realtime/v1/streams/', () =>
        readAll(id, 4, { startIndex: 2 }),
      )
      if (headers?.get('x-stream-version') !== 'v2')
        throw new Unable('the server has no S2: its ids are no indices')
      assert.deepEqual(chunks, numbers(6).slice(2))
    },
  },
  {
    name: 'a reader that is aborted ends',
    run: async () => {
      const id = await start('patient', { ms: 60_000 })
      const reader = new AbortController()
      const chunks = []
      for await (const chunk of await streams.read(id, 'words', { signal: reader.signal })) {
        chunks.push(chunk)
        reader.abort()
      }
      assert.deepEqual(chunks, ['began'])
      await runs.cancel(id)
    },
  },
  {
    name: 'the stream of an unknown run is 404',
    run: async () => assert.equal((await failureOf(readAll('run_doesnotexist', 1))).status, 404),
  },
  {
    name: 'a subscription to a run follows it to its end',
    run: async () => {
      const id = await start('ordered', { ms: 50 }, { concurrencyKey: unique() })
      const statuses = []
      for await (const run of runs.subscribeToRun(id)) {
        assert.equal(run.id, id)
        statuses.push(run.status)
        if (run.isCompleted) break
      }
      assert.equal(statuses.at(-1), 'COMPLETED')
      const order = ['QUEUED', 'DEQUEUED', 'EXECUTING', 'COMPLETED']
      const places = statuses.map((status) => order.indexOf(status))
      assert.deepEqual(places, places.toSorted(), statuses.join())
    },
  },
  {
    name: 'a subscription to a tag sees the runs that exist and those that come',
    run: async () => {
      const tag = unique()
      const existing = await start('echo', 1, { tags: tag })
      await ended(existing)
      const seen = new Map<string, string>()
      let later: string | undefined
      for await (const run of runs.subscribeToRunsWithTag(tag, { createdAt: '1h' })) {
        seen.set(run.id, run.status)
        later ??= await start('boom', 2, { tags: tag })
        if (later && seen.get(later) === 'FAILED') break
      }
      assert.deepEqual(
        [...seen],
        [
          [existing, 'COMPLETED'],
          [later, 'FAILED'],
        ],
      )
    },
  },
  {
    name: 'a subscription can leave payload and output out',
    run: async () => {
      const tag = unique()
      await ended(await start('echo', { secret: 1 }, { tags: tag }))
      const options = { createdAt: '1h', skipColumns: ['payload', 'output'] as ('payload' | 'output')[] }
      for await (const run of runs.subscribeToRunsWithTag(tag, options)) {
        assert.equal(run.payload, undefined)
        assert.equal(run.output, undefined)
        break
      }
    },
  },
  {
    name: 'a subscription to a tag sees a cancel, and the end of the process after it',
    run: async () => {
      const tag = unique()
      const id = await start('patient', { ms: 60_000 }, { tags: tag })
      await began(id)
      let cancelled = false
      for await (const run of runs.subscribeToRunsWithTag(tag, { createdAt: '1h' })) {
        if (!cancelled) await runs.cancel(id)
        cancelled = true
        if (run.status === 'CANCELED' && run.finishedAt) break
      }
      assert.equal((await get(id)).status, 'CANCELED')
    },
  },
  {
    name: 'metadata that a task sets is shown, whether it was flushed or not',
    run: async () => {
      const run = await runToEnd('notes', {}, { metadata: { count: 40 } })
      assert.deepEqual(run.metadata, { count: 42, step: 2, list: ['a', 'b'] })
    },
  },
  {
    name: 'metadata that a task sets for its parent and root is shown there',
    run: async () => {
      const { id, output } = await runToEnd('editor', {}, { metadata: { reports: 1 } })
      await ended(String(output))
      const { metadata } = await eventually(
        () => get(id),
        (run) => run.metadata?.reported !== undefined,
      )
      assert.deepEqual(metadata, { reported: true, reports: 2 })
    },
  },
  {
    name: 'a token for one run reads that run and no other, and changes none',
    run: async ({ url }) => {
      const [mine, other] = [await start('echo', 1), await start('echo', 2)]
      const accessToken = await auth.createPublicToken({ scopes: { read: { runs: [mine] } } })
      await auth.withAuth({ baseURL: url, accessToken }, async () => {
        assert.equal((await get(mine)).id, mine)
        assert.equal((await failureOf(get(other))).status, 403)
        assert.equal((await failureOf(runs.cancel(mine, { retry: { maxAttempts: 1 } }))).status, 403)
      })
    },
  },
  {
    name: 'a token for a tag reads the runs of that tag',
    run: async ({ url }) => {
      const tag = unique()
      const id = await start('echo', 1, { tags: tag })
      const accessToken = await auth.createPublicToken({ scopes: { read: { tags: [tag] } } })
      await auth.withAuth({ baseURL: url, accessToken }, async () => assert.equal((await get(id)).id, id))
    },
  },
  {
    name: 'a token for a task lists the runs of that task and no others',
    run: async ({ url }) => {
      const tag = unique()
      const id = await start('echo', 1, { tags: tag })
      await eventually(
        () => list({ tag }),
        (items) => items.length === 1,
      )
      const accessToken = await auth.createPublicToken({ scopes: { read: { tasks: ['echo'] } } })
      await auth.withAuth({ baseURL: url, accessToken }, async () => {
        assert.deepEqual(ids(await list({ tag, taskIdentifier: 'echo' })), [id])
        assert.equal((await failureOf(list({ tag, taskIdentifier: 'boom' }))).status, 403)
        assert.equal((await failureOf(list({ tag }))).status, 403)
      })
    },
  },
  {
    name: 'a token to write to one run cancels that run and no other',
    run: async ({ url }) => {
      const [mine, other] = [await start('echo', 1, { delay: '1h' }), await start('echo', 2, { delay: '1h' })]
      const accessToken = await auth.createPublicToken({ scopes: { write: { runs: [mine] } } })
      await auth.withAuth({ baseURL: url, accessToken }, async () => {
        assert.equal((await failureOf(runs.cancel(other))).status, 403)
        await runs.cancel(mine)
      })
      assert.equal((await get(mine)).status, 'CANCELED')
      await runs.cancel(other)
    },
  },
  {
    name: 'a token to trigger a task triggers that task and no other, and may be good for one run only',
    run: async ({ url }) => {
      const once = await auth.createTriggerPublicToken('echo')
      const often = await auth.createTriggerPublicToken('echo', { multipleUse: true })
      await auth.withAuth({ baseURL: url, accessToken: once }, async () => {
        assert.equal((await failureOf(start('nothing'))).status, 403)
        await start('echo', 1)
        const failure = await failureOf(start('echo', 2))
        assert.equal(failure.status, 422)
        assert.match(failure.message, /one-time use token/)
      })
      await auth.withAuth({ baseURL: url, accessToken: often }, async () => {
        await start('echo', 1)
        await start('echo', 2)
      })
    },
  },
  {
    name: 'a token to write to tasks triggers any of them',
    run: async ({ url }) => {
      const accessToken = await auth.createPublicToken({ scopes: { write: { tasks: true } } as never })
      await auth.withAuth({ baseURL: url, accessToken }, async () => {
        await start('echo', 1)
        await start('nothing')
      })
    },
  },
  {
    name: 'a token that has expired is refused with 401',
    run: async ({ url }) => {
      const id = await start('echo', 1)
      const scopes = { read: { runs: [id] } }
      const accessToken = await auth.createPublicToken({ scopes, expirationTime: new Date(1) })
      await auth.withAuth({ baseURL: url, accessToken }, async () => {
        assert.equal((await failureOf(get(id))).status, 401)
      })
    },
  },
]
