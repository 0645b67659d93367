import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { auth, configure, runs, tasks } from '@trigger.dev/sdk'
import t from 'tap'
import { ended, eventually, reaches, start, unique } from './conformance/suite.ts'
import { DIFFERENCES } from './differences.ts'
import { SECRET } from './helper.ts'
import { openProcess } from './process.ts'
import { differences, type Exchange, recording, recordings, replay, streamEvents } from './replay.ts'

/** Makes the run that a recorded request is about, in the state that it was in; returns its id. */
type Scene = () => Promise<string>

const none: Scene = async () => 'run_not_in_the_path'
const completed: Scene = async () =>
  (await ended(await start('echo', { hello: 'world' }, { metadata: { foo: 'bar' } }))).id
const plain: Scene = async () => (await ended(await start('echo', 1))).id
const failed: Scene = async () => (await ended(await start('boom', 1))).id
/** Started as it was recorded, past the SDK: the payload is plain JSON. */
const executing: Scene = async () => {
  const answer = await send('POST', '/api/v1/tasks/slow/trigger', JSON.stringify({ payload: { ms: 60_000 } }))
  const { id } = (await answer.json()) as { id: string }
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
  return (await reaches(await start('echo', { ms: 60_000 }), 'EXECUTING')).id
}
const cancelled: Scene = async () => {
  const id = await executing()
  await runs.cancel(id)
  return id
}
const queuedRun = async (task: string) => {
  // The run ahead outlasts the test, also on a machine that is very busy.
  await start('queued', { ms: 600_000 })
  return start(task, { ms: 60_000 }, { queue: 'single' })
}
const queued: Scene = () => queuedRun('echo')
const queuedSlow: Scene = () => queuedRun('slow')
const cancelledEarly: Scene = async () => {
  const id = await queued()
  await runs.cancel(id)
  return id
}
/** What was recorded before there was a worker: one run, which was cancelled before one came. */
const onlyOne: Scene = async () => {
  const id = await start('echo', 1, { queue: 'not-declared' })
  await runs.cancel(id)
  return id
}
const delayed: Scene = () => start('echo', 1, { delay: '30s' })
const waiting: Scene = async () => (await reaches(await start('no-such-task', 1), 'PENDING_VERSION')).id
const keyed: Scene = async () => (await ended(await start('echo', 1, { idempotencyKey: unique() }))).id
const waiter: Scene = async () => (await ended(await start('waiter', { seconds: 8 }))).id
/** The newest runs, newest last. */
const listed: Scene = async () => {
  await ended(await start('boom', 1, { idempotencyKey: unique() }))
  await runs.cancel(await delayed())
  return waiter()
}
const listedByTask: Scene = async () => {
  await keyed()
  const id = await delayed()
  await runs.cancel(id)
  return id
}
const streamed: Scene = async () => (await ended(await start('streamer', { n: 20 }))).id
const timedOut: Scene = async () => (await ended(await start('slow', { ms: 60_000 }, { maxDuration: 5 }))).id
const parent: Scene = async () => {
  const { id, output } = await ended(await start('parent', {}))
  await ended((output as unknown as { childId: string }).childId)
  return id
}
/** As near as a run comes here to one whose worker was lost: its process is killed. */
const lost: Scene = async () =>
  (await ended(await start('agent-chat', { dies: true }, { ttl: '1h', idempotencyKey: unique() }))).id
/** Written as recorded: three values appended, then two lines in one write. */
const external: Scene = async () => {
  const id = await executing()
  const path = `/realtime/v1/streams/${id}/self/ext`
  for (const n of [0, 1, 2]) await send('POST', `${path}/append`, JSON.stringify({ i: n }))
  await send('POST', path, '{"l":1}\n{"l":2}\n')
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
  '16-list-no-worker': onlyOne,
  '20-trigger-echo': none,
  '21-retrieve-completed': completed,
  '22-retrieve-completed-v1-result': completed,
  '23b-retrieve-completed-after-cancel': completed,
  '24-trigger-slow': none,
  '25-retrieve-just-triggered': queuedSlow,
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
  // This exchange was recorded when the wait was over, other than its name says.
  '55-retrieve-waiting': waiter,
  '56-retrieve-waiter-completed': waiter,
  '60-list': listed,
  '62-list-filter-task': listedByTask,
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
  'h1-retrieve-worker-lost-dev': lost,
  'h2-retrieve-dev-cli-exited': lost,
  'h3-retrieve-worker-lost-prod': lost,
  'h7-stream-never-written': cancelledEarly,
}
/** Exchanges of which one needs the answer of the one before; each has a test of its own. */
const SEQUENCES = {
  tag: 'g1-tag-subscription-sequence',
  pages: ['h4-list-first-page', 'h5-list-second-page', 'h6-list-back-to-the-first-page'],
}

const allowed = (name: string): string[] => DIFFERENCES.flatMap(({ recorded }) => recorded?.[name] ?? [])
const NOT_IMPLEMENTED = DIFFERENCES.flatMap(({ notImplemented }) => notImplemented ?? [])

type Batch = { records: { seq_num: number; body: string }[] }
const RECORDED = fileURLToPath(new URL('./tasks/recorded.ts', import.meta.url))
const AUTHORIZED = { authorization: 'Bearer tr_dev_recorded' }

const engine = await openProcess({
  taskModules: [RECORDED],
  secretKey: SECRET,
  switches: { streams: 'redis' },
  maxChildren: 5,
  spares: 0,
})
t.teardown(() => engine.stop())

/** Where scenes make their runs. */
let base = engine.url
function workAt(url: string): void {
  base = url
  configure({ baseURL: url, accessToken: SECRET })
}
workAt(engine.url)

/** A request past the SDK. */
async function send(method: string, path: string, body: string): Promise<Response> {
  const headers = { authorization: `Bearer ${SECRET}`, 'x-client-id': 'c1' }
  const answer = await fetch(base + path, { method, headers, body })
  t.ok(answer.ok, `${method} ${path}`)
  return answer
}

async function tokenFor(name: string, exchange: Exchange, runId: string): Promise<string> {
  if (name.endsWith('-bad-key')) return 'tr_dev_another'
  if (!exchange.request.headers.authorization?.includes('<jwt>')) return SECRET
  return auth.createPublicToken({ scopes: { read: { runs: [runId] } } })
}

t.test('every recorded request is answered as the real server answered it', async (t) => {
  const shared = new Map<Scene, Promise<string>>()
  const sceneOf = (name: string, { request }: Exchange): Promise<string> => {
    const scene = SCENES[name] ?? none
    // A request that ends or moves a run needs one of its own.
    if (/\/(cancel|reschedule)$/.test(request.path) || request.path.startsWith('/api/v1/runs?'))
      return scene()
    const made = shared.get(scene) ?? scene()
    shared.set(scene, made)
    return made
  }
  const check = async (name: string) => {
    const exchange = recording(name)
    const runId = await sceneOf(name, exchange)
    const answer = await replay(exchange, engine.url, runId, await tokenFor(name, exchange, runId))
    t.same(differences(exchange.response, answer), allowed(name), name)
  }
  // Recorded when there was one run only, so it comes first.
  const first = '16-list-no-worker'
  await check(first)
  // It takes seconds.
  shared.set(timedOut, timedOut())
  for (const name of recordings()) if (name in SCENES && name !== first) await check(name)
})

t.test('streams that were recorded on Redis read the same on S2, in its framing', async (t) => {
  const other = await openProcess({ taskModules: [RECORDED], secretKey: SECRET, maxChildren: 2 })
  t.teardown(() => other.stop())
  const names = ['71-stream-read-live-sse-jwt', '72-stream-read-after-completed', '84-stream-ext-read']
  workAt(other.url)
  const scenes = new Map([
    [streamed, await streamed()],
    [external, await external()],
  ])
  workAt(engine.url)
  for (const name of names) {
    const exchange = recording(name)
    const runId = scenes.get(SCENES[name] ?? none) ?? ''
    const answer = await replay(exchange, other.url, runId, await tokenFor(name, exchange, runId))
    t.equal(answer.headers['x-stream-version'], 'v2', name)
    const records = streamEvents(String(answer.body)).flatMap(({ event, data }) =>
      event === 'batch' ? (data as Batch).records : [],
    )
    t.same(
      records.map(({ seq_num, body }) => ({ place: seq_num, data: JSON.parse(body).data })),
      streamEvents(String(exchange.response.body)).map(({ data }, place) => ({ place, data })),
      name,
    )
  }
})

t.test('a recorded endpoint that the project does not call is answered 501 with its name', async (t) => {
  for (const entry of NOT_IMPLEMENTED) {
    const [method = '', path = ''] = entry.split(' ')
    const exchange: Exchange = path
      ? { ...recording('d8-healthcheck'), request: { method, path, headers: AUTHORIZED, body: null } }
      : recording(entry)
    const { request } = exchange
    const { status, body, headers } = await replay(exchange, engine.url, 'run_none', SECRET)
    const error = `The local engine does not implement ${request.method} ${request.path.split('?')[0]}`
    t.match({ status, body }, { status: 501, body: { error } }, entry)
    t.equal(headers['x-should-retry'], 'false')
  }
})

t.test('the table of differences names recordings that exist, and none of them is left out', async (t) => {
  const replayed = Object.keys(SCENES)
  const missing = NOT_IMPLEMENTED.filter((entry) => !entry.includes(' '))
  t.same(recordings().sort(), [...replayed, ...missing, SEQUENCES.tag, ...SEQUENCES.pages].sort())
  for (const { recorded = {} } of DIFFERENCES)
    for (const name of Object.keys(recorded)) t.ok([...replayed, ...SEQUENCES.pages].includes(name), name)
})

t.test('the guide has the table of differences', async (t) => {
  const guide = readFileSync('docs/trigger.md', 'utf8')
  for (const { what, why } of DIFFERENCES) t.ok(guide.includes(`| ${what} | ${why} |`), what)
})

t.test('the pages of a list are those of the real server, forwards and back', async (t) => {
  type Page = { data: { id: string }[]; pagination: { next: string; previous?: string } }
  const tag = unique()
  const all: string[] = []
  for (let n = 0; n < 7; n++) {
    all.unshift(
      await start('agent-chat', { ms: 60_000 }, { tags: [tag], ttl: '1h', idempotencyKey: unique() }),
    )
  }
  for (const id of all.toReversed()) await reaches(id, 'EXECUTING').then(() => runs.cancel(id))
  await Promise.all(all.map(ended))
  const page = async (name: string, cursor: string | undefined): Promise<Page> => {
    const exchange = recording(name)
    const query = new URLSearchParams(exchange.request.path.split('?')[1])
    query.set('filter[tag]', tag)
    for (const side of ['page[after]', 'page[before]']) if (query.has(side)) query.set(side, cursor ?? '')
    const request = { ...exchange.request, path: `/api/v1/runs?${query}` }
    const answer = await replay({ ...exchange, request }, engine.url, '', SECRET)
    t.same(differences(exchange.response, answer), allowed(name), name)
    return answer.body as Page
  }
  const [first = '', second = '', back = ''] = SEQUENCES.pages
  const ids = ({ data }: Page) => data.map(({ id }) => id)
  const one = await page(first, undefined)
  t.same(ids(one), all.slice(0, 3), 'newest first')
  const two = await page(second, one.pagination.next)
  t.same(ids(two), all.slice(3, 6))
  const again = await page(back, two.pagination.previous)
  t.same(ids(again), all.slice(0, 3).toReversed(), 'a previous page is oldest first')
  t.equal(again.pagination.next, one.pagination.next, 'and goes on where the first page did')
})

t.test('a subscription to a tag receives the messages of the real server', async (t) => {
  type Message = { key: string; value: Record<string, unknown>; headers: { operation: string } }
  const { sequence } = recording<{ sequence: Exchange[] }>(SEQUENCES.tag)
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
