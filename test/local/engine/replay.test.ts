import { fileURLToPath } from 'node:url'
import { auth, configure, runs, tasks } from '@trigger.dev/sdk'
import t from 'tap'
import { ended, eventually, reaches, start, unique } from './conformance/suite.ts'
import { SECRET } from './helper.ts'
import { openProcess } from './process.ts'
import { differences, type Exchange, recording, recordings, replay } from './replay.ts'

/** Makes the run that a recorded request is about, in the state that it was in; returns its id. */
type Scene = () => Promise<string>

const none: Scene = async () => 'run_not_in_the_path'
const completed: Scene = async () =>
  (await ended(await start('echo', { hello: 'world' }, { metadata: { foo: 'bar' } }))).id
const plain: Scene = async () => (await ended(await start('echo', 1))).id
const failed: Scene = async () => (await ended(await start('boom', 1))).id
const executing: Scene = async () => {
  const id = await start('slow', { ms: 60_000 })
  for await (const run of runs.subscribeToRun(id)) if (run.metadata?.i) return id
  return id
}
/** The newest run of all, so that it is first in the list; a parent that still runs would add a newer one. */
const newest: Scene = async () => {
  const parents = { taskIdentifier: 'parent', status: ['QUEUED', 'DEQUEUED', 'EXECUTING'] as const }
  await eventually(
    async () => (await runs.list({ ...parents, status: [...parents.status] })).data,
    (left) => left.length === 0,
  )
  return executing()
}
const cancelled: Scene = async () => {
  const id = await executing()
  await runs.cancel(id)
  return id
}
const queued: Scene = async () => {
  await start('queued', { ms: 60_000 })
  return start('queued', { ms: 60_000 })
}
const cancelledEarly: Scene = async () => {
  const id = await queued()
  await runs.cancel(id)
  return id
}
const delayed: Scene = () => start('echo', 1, { delay: '30s' })
const delayedCancelled: Scene = async () => {
  const id = await delayed()
  await runs.cancel(id)
  return id
}
const waiting: Scene = async () => (await reaches(await start('no-such-task', 1), 'PENDING_VERSION')).id
const keyed: Scene = async () => (await ended(await start('echo', 1, { idempotencyKey: unique() }))).id
const streamed: Scene = async () => (await ended(await start('streamer', { n: 20 }))).id
const timedOut: Scene = async () => (await ended(await start('slow', { ms: 60_000 }, { maxDuration: 5 }))).id
const parent: Scene = async () => {
  const { id, output } = await ended(await start('parent', {}))
  await ended((output as unknown as { childId: string }).childId)
  return id
}
const external: Scene = async () => {
  const id = await executing()
  for (const line of ['1', '2']) await fetchOk(`/realtime/v1/streams/${id}/self/ext`, line)
  return id
}

/** In the order of the names; a request that follows another one's effect (a key) finds it. */
const SCENES: Record<string, Scene> = {
  '01-trigger-no-worker-registered': none,
  '02-retrieve-no-worker-registered': queued,
  '03-cancel-no-worker': queued,
  '05-cancel-already-cancelled': cancelledEarly,
  '06-retrieve-404': none,
  '07-cancel-404': none,
  '08-unauthorised-no-header': none,
  '09-unauthorised-bad-key': none,
  '11-validation-bad-body-type': none,
  '12-validation-bad-json': none,
  '13-validation-wrong-content-type': none,
  '14-wrong-method': none,
  '16-list-no-worker': cancelledEarly,
  '20-trigger-echo': none,
  '21-retrieve-completed': completed,
  '22-retrieve-completed-v1-result': completed,
  '23b-retrieve-completed-after-cancel': completed,
  '24-trigger-slow': none,
  '25-retrieve-just-triggered': queued,
  '26-retrieve-executing': executing,
  '27-cancel-executing': executing,
  '28-retrieve-immediately-after-cancel': cancelled,
  '29b-result-cancelled': cancelled,
  '30-trigger-boom': none,
  '31-retrieve-failed': failed,
  '31b-result-failed': failed,
  '32-trigger-boom-retry': none,
  '34-trigger-unknown-task-with-worker': none,
  '35-retrieve-unknown-task-pending-version': waiting,
  '36-cancel-unknown-task-run': waiting,
  '40-idempotent-first': none,
  '41-idempotent-retrigger-while-live': none,
  '43-retrieve-idempotent-run': keyed,
  '44-idempotency-key-reset': none,
  '45-idempotent-retrigger-after-reset': none,
  '46-idempotent-failing-first': none,
  '50-trigger-delayed': none,
  '52-reschedule': delayed,
  '53-cancel-delayed': delayed,
  '54-trigger-waiter': none,
  '55-retrieve-waiting': plain,
  '56-retrieve-waiter-completed': plain,
  '60-list': plain,
  '62-list-filter-task': delayedCancelled,
  '70-trigger-streamer': none,
  '71-stream-read-live-sse-jwt': streamed,
  '72-stream-read-after-completed': streamed,
  '75-stream-read-missing-run': none,
  '76-retrieve-with-jwt': streamed,
  '80-trigger-slow-for-append': none,
  '81-realtime-run-subscribe-initial': executing,
  '83-stream-create-put': executing,
  '84-stream-ext-read': external,
  '85-stream-append-0': executing,
  '85-stream-append-1': executing,
  '85-stream-append-2': executing,
  '86-stream-ingest-post': executing,
  '87-stream-head-last-chunk': external,
  '88-metadata-put': executing,
  '90-tags-add': executing,
  '91-cancel-slow': executing,
  '92-replay': plain,
  '99e-trigger-sdk-style-string-payload': none,
  'a1-trigger-crash': none,
  'a3-trigger-max-duration': none,
  'a4-retrieve-timed-out': timedOut,
  'a5-trigger-parent': none,
  'a6-retrieve-parent': parent,
  'a7-trigger-ttl-1s-no-worker': none,
  'a9-retrieve-other-env-run-404': none,
  'b3-trigger-queue-options': none,
  'b4-trigger-locked-unknown-version': none,
  'd4-trigger-api-version-header': none,
  'd5-retrieve-queued-or-dequeued-api-version': queued,
  'd8-healthcheck': none,
  'd9-idempotency-key-header': none,
  'd9b-idempotency-key-header-again': none,
  'e1-cancel-bad-key': queued,
  'e2-list-pagination-cursor': newest,
  'e4-list-page-too-large': none,
  'f1-trigger-worker-disconnected': none,
  'f2-retrieve-queued-worker-disconnected': queued,
  'f3-cancel-queued': queued,
}

/** What nothing in this project calls: 501 with the name of the endpoint. */
const NOT_IMPLEMENTED = [
  '15-whoami-dev-key',
  '99-waitpoint-token-create',
  '99b-waitpoint-token-complete',
  '99c-waitpoint-token-retrieve',
  'd2-whoami',
]

/** Where the local engine answers otherwise, and why. */
const DIFFERENCES: Record<string, { differences: string[]; reason: string }> = {
  '81-realtime-run-subscribe-initial': {
    differences: ['header electric-handle: extra', 'header electric-offset: extra'],
    reason: 'recorded without the SDK headers, for which the real server uses the names of an older protocol',
  },
}

const engine = await openProcess({
  taskModules: [fileURLToPath(new URL('./tasks/recorded.ts', import.meta.url))],
  secretKey: SECRET,
  switches: { streams: 'redis' },
  maxChildren: 5,
  spares: 0,
})
t.teardown(() => engine.stop())
configure({ baseURL: engine.url, accessToken: SECRET })

async function fetchOk(path: string, body: string): Promise<void> {
  const headers = { authorization: `Bearer ${SECRET}`, 'x-client-id': 'c1' }
  t.ok((await fetch(engine.url + path, { method: 'POST', headers, body })).ok)
}

async function tokenFor(name: string, exchange: Exchange, runId: string): Promise<string> {
  if (name.endsWith('-bad-key')) return 'tr_dev_another'
  if (!exchange.request.headers.authorization?.includes('<jwt>')) return SECRET
  return auth.createPublicToken({ scopes: { read: { runs: [runId] } } })
}

t.test('every recorded request is answered as the real server answered it', async (t) => {
  const shared = new Map([[timedOut, timedOut()]])
  const sceneOf = (name: string, { request }: Exchange): Promise<string> => {
    const scene = SCENES[name] ?? none
    // A request that ends or moves a run needs one of its own.
    if (/\/(cancel|reschedule)$/.test(request.path) || request.path.startsWith('/api/v1/runs?'))
      return scene()
    const made = shared.get(scene) ?? scene()
    shared.set(scene, made)
    return made
  }
  for (const name of recordings().filter((name) => name in SCENES)) {
    const exchange = recording(name)
    const runId = await sceneOf(name, exchange)
    const answer = await replay(exchange, engine.url, runId, await tokenFor(name, exchange, runId))
    t.same(differences(exchange.response, answer), DIFFERENCES[name]?.differences ?? [], name)
  }
})

t.test('what nothing calls is answered 501 with its name', async (t) => {
  for (const name of NOT_IMPLEMENTED) {
    const exchange = recording(name)
    const { status, body } = await replay(exchange, engine.url, 'run_none', SECRET)
    const path = exchange.request.path.split('?')[0]
    t.match(
      { status, body },
      { status: 501, body: { error: `does not implement ${exchange.request.method} ${path}` } },
    )
  }
})

t.test('no recording is left out', async (t) => {
  const known = [...Object.keys(SCENES), ...NOT_IMPLEMENTED, 'g1-tag-subscription-sequence']
  t.same(recordings().sort(), known.sort())
})

t.test('a subscription to a tag goes as it went on the real server', async (t) => {
  type Message = { key: string; value: Record<string, unknown>; headers: { operation: string } }
  const { sequence } = recording<{ sequence: Exchange[] }>('g1-tag-subscription-sequence')
  const tag = unique()
  const [first, live] = sequence
  if (!first || !live) throw new Error('the recording is empty')
  const asked = async (exchange: Exchange, place: string) => {
    const path = `/realtime/v1/runs?createdAt=1h&log=full&skipColumns=payload%2Coutput&tags=${tag}&${place}`
    const headers = { ...exchange.request.headers, authorization: 'Bearer tr_dev_recorded' }
    return replay({ ...exchange, request: { ...exchange.request, path, headers } }, engine.url, '', SECRET)
  }
  let answer = await asked(first, 'offset=-1')
  t.same(differences(first.response, answer), [])

  const seen: string[] = []
  const { id } = await tasks.trigger('agent-chat', {}, { tags: [tag] })
  while (seen.at(-1) !== 'update COMPLETED_SUCCESSFULLY') {
    const { 'electric-offset': offset, 'electric-handle': handle } = answer.headers
    answer = await asked(live, `cursor=&handle=${handle}&live=true&offset=${offset}`)
    const [row, upToDate] = answer.body as [Message, unknown]
    t.same(upToDate, { headers: { control: 'up-to-date' } })
    t.equal(row.value.friendlyId, id)
    seen.push(`${row.headers.operation} ${row.value.status}`)
    const [recorded] = live.response.body as [Message]
    t.same(Object.keys(row.value), Object.keys(recorded.value))
    t.same(
      Object.keys(answer.headers)
        .filter((header) => header.startsWith('electric'))
        .sort(),
      ['electric-cursor', 'electric-handle', 'electric-offset'],
    )
    for (const value of Object.values(row.value)) t.ok(value === null || typeof value === 'string')
    if (seen.at(-1) === 'update COMPLETED_SUCCESSFULLY') t.equal(row.value.realtimeStreams, '{"ui"}')
  }
  t.match(seen[0], /^insert /)
  t.ok(seen.slice(1).every((operation) => operation.startsWith('update ')))
})
