import t, { type Test } from 'tap'
import { until } from '../services/rows.ts'
import { type Service, startService } from '../support/service.ts'

const CHAT = '/api/agent/chat'

/** A conversation with a run that goes on until it is cancelled, and two that wait behind it. */
async function queueOfThree({ call, app }: Service) {
  const start = async (message: string, more = {}) =>
    (await call('POST', CHAT, { body: { message, ...more } })).body
  const { runId: running, conversationId } = await start('[[stall-after:3]]')
  await until(async () => (await call('GET', `${CHAT}/${running}`)).body.status === 'running')
  const next = (await start('What is 1 + 1?', { conversationId })).runId
  const last = (await start('What is 2 + 2?', { conversationId })).runId
  const waiting = (count: number) => until(async () => app.services.waiters.count() === count)
  return { runs: [running, next, last] as [string, string, string], waiting }
}

const cancel = async (t: Test, { call }: Service, runId: string) =>
  t.match(await call('POST', `${CHAT}/${runId}/cancel`), { status: 200, body: { status: 'cancelled' } })

t.test('a long poll', async (t) => {
  const service = await startService(t)
  const { call, app } = service

  t.test('answers when the run moves up in its queue', async (t) => {
    const { runs, waiting } = await queueOfThree(service)
    const [running, next, last] = runs
    const before = await call('GET', `${CHAT}/${last}`)
    t.same(before.body.queue, { position: 2, ahead: [running, next] })
    const headers = { 'if-none-match': before.headers.get('etag') ?? '' }
    const time = AbortSignal.timeout(30_000)
    const polled = call('GET', `${CHAT}/${last}?wait=30`, { headers })
    await waiting(1)
    await cancel(t, service, next)
    t.match(await polled, {
      status: 200,
      body: { status: 'queued', queue: { position: 1, ahead: [running] } },
    })
    t.notOk(time.aborted, 'before its time is up')
    await cancel(t, service, running)
  })

  t.test('does not sleep over a change that comes right after its read, and reads only twice', async (t) => {
    const { runs } = await queueOfThree(service)
    const [running, next, last] = runs
    const { headers } = await call('GET', `${CHAT}/${last}`)
    const { find } = app.stores.runs
    let reads = 0
    t.intercept(app.stores.runs, 'find', {
      value: async (...args: Parameters<typeof find>) => {
        const read = await find(...args)
        if (args[1] === last && ++reads === 1) await cancel(t, service, next)
        return read
      },
    })
    const polled = await call('GET', `${CHAT}/${last}?wait=30`, {
      headers: { 'if-none-match': headers.get('etag') ?? '' },
    })
    t.match(polled, { status: 200, body: { queue: { position: 1, ahead: [running] } } })
    t.equal(reads, 2)
    await cancel(t, service, running)
  })

  t.test('goes on when it is woken by a change that it knows', async (t) => {
    const { runs, waiting } = await queueOfThree(service)
    const [running] = runs
    const { headers } = await call('GET', `${CHAT}/${running}`)
    const reads = t.capture(app.stores.runs, 'find', app.stores.runs.find)
    const polled = call('GET', `${CHAT}/${running}?wait=30`, {
      headers: { 'if-none-match': headers.get('etag') ?? '' },
    })
    await waiting(1)
    app.services.waiters.wake(running)
    await until(async () => reads().length > 0)
    await waiting(1)
    await cancel(t, service, running)
    // The wish may be seen before it is fulfilled.
    t.match(await polled, { status: 200, body: { cancelRequestedAt: String } })
  })

  t.test('shares one query with all who wait on the instance', async (t) => {
    const { runs, waiting } = await queueOfThree(service)
    const looks = t.capture(app.stores.runs, 'states', app.stores.runs.states)
    const polled = runs.flatMap((runId) =>
      Array.from({ length: 10 }, () => call('GET', `${CHAT}/${runId}?wait=30`)),
    )
    await waiting(30)
    looks()
    const seen: string[][] = []
    await until(async () => seen.push(...looks().map(({ args }) => [...args[0]].sort())) >= 3)
    for (const ids of seen) t.same(ids, [...runs].sort(), 'each query is for all of them')
    for (const runId of [...runs].reverse()) await cancel(t, service, runId)
    for (const { status } of await Promise.all(polled)) t.equal(status, 200)
    t.equal(app.services.waiters.count(), 0)
  })
})
