import { readFileSync } from 'node:fs'
import type { ServerResponse } from 'node:http'
import { test } from 'tap'
import type { RunSummary } from '../../src/engine/run-engine.ts'
import { answerJson, apiRun, httpEngine } from './http-engine.ts'

const idsOf = async (runs: AsyncIterable<RunSummary>) => {
  const ids: string[] = []
  for await (const { runId } of runs) ids.push(runId)
  return ids
}

const bad = [
  apiRun('run_bad1', 'FROZEN'),
  apiRun('run_bad2', 'EXECUTING', { createdAt: 'yesterday' }),
  apiRun('run_bad3', 'EXECUTING', { createdAt: null }),
  apiRun('bad4', 'EXECUTING'),
  { status: 'EXECUTING' },
  null,
  'run_bad5',
]

test('one bad run of a page is logged and left out, and the list goes on', async (t) => {
  const { engine, logged, requests } = await httpEngine(t, (_request, response, path) => {
    const isSecond = path.includes('after%5D=cursor2')
    answerJson(
      response,
      isSecond
        ? { data: [apiRun('run_c', 'QUEUED', { tags: null })], pagination: {} }
        : {
            data: [apiRun('run_a', 'QUEUED'), ...bad, apiRun('run_b', 'FAILED')],
            pagination: { next: 'cursor2' },
          },
    )
  })
  t.strictSame(await idsOf(engine.list({ tag: 'turn_1' })), ['run_a', 'run_b', 'run_c'])
  t.equal(requests.length, 2)
  await idsOf(engine.list({ tag: 'turn_1' }))
  const told = logged.filter(({ message }) => message === 'a run that could not be read was left out')
  t.strictSame(
    told.map(({ runId }) => runId).sort(),
    ['run_bad1', 'run_bad2', 'run_bad3', 'without an id'],
    'each of them once',
  )
})

test('an answer that is no page of a list counts as an engine that is away', async (t) => {
  let body: unknown
  const { engine } = await httpEngine(t, (_request, response) => answerJson(response, body))
  for (const nonsense of [{}, { data: null }, { data: {}, pagination: {} }, [], 'runs', null]) {
    body = nonsense
    await t.rejects(
      idsOf(engine.list({ tag: 't' })),
      { code: 'engine_unavailable' },
      JSON.stringify(nonsense),
    )
    await t.rejects(engine.get('run_a'), { code: 'engine_unavailable' }, JSON.stringify(nonsense))
    await t.rejects(engine.ping(), { code: 'engine_unavailable' }, JSON.stringify(nonsense))
  }
})

test('a run in a status that the SDK does not know is in the list all the same', async (t) => {
  const { engine } = await httpEngine(t, (_request, response) =>
    answerJson(response, apiRun('run_a', 'FROZEN', { tags: null, attempts: 'none' })),
  )
  t.match(await engine.get('run_a'), { runId: 'run_a', status: 'running', tags: [] })
})

/** Answers a long poll in the manner of the realtime feed. */
function answerFeed(response: ServerResponse, at: number, messages: unknown[]): void {
  answerJson(response, [...messages, { headers: { control: 'up-to-date' } }], 200, {
    'electric-handle': 'h',
    'electric-offset': `${at}_0`,
    'electric-cursor': String(at),
    'electric-up-to-date': '',
    'electric-schema': JSON.stringify({ runTags: { type: 'text', dims: 1 } }),
  })
}

const row = (n: number | string, status: string, more: Record<string, unknown> = {}) => ({
  key: `"public"."TaskRun"/"${n}"`,
  value: {
    id: String(n),
    friendlyId: `run_${n}`,
    status,
    createdAt: '2026-11-22T09:16:00.275',
    startedAt: null,
    completedAt: null,
    runTags: '{"instance_a","turn_1"}',
    ...more,
  },
  headers: { operation: 'insert' },
})

test('a subscription reports every run in the form in which a real server sends it', async (t) => {
  const { sequence } = JSON.parse(
    readFileSync(new URL('./recordings/g1-tag-subscription-sequence.json', import.meta.url), 'utf8'),
  ) as { sequence: Recorded[] }
  let last = 0
  const { engine, requests } = await httpEngine(t, (_request, response, path) => {
    const index = sequence.findIndex(({ request }) => positionOf(request.path) === positionOf(path))
    const recorded = sequence[index]?.response
    // The client also asks ahead for what the server has never been asked.
    if (recorded === undefined) return
    last = Math.max(last, index + 1)
    answerJson(response, recorded.body, recorded.status, electric(recorded.headers))
  })
  const stop = new AbortController()
  const seen: string[] = []
  const ends = new Set<string>()
  const expected = JSON.stringify(sequence).match(/"friendlyId":"run_\w+"/g)
  for await (const run of engine.changes('instance_recdw9k', stop.signal)) {
    t.match(run, { tags: ['instance_recdw9k'], createdAt: Date })
    seen.push(`${run.runId} ${run.status}`)
    if (run.status === 'completed') ends.add(run.runId)
    if (last === sequence.length && seen.length === expected?.length) stop.abort()
  }
  t.strictSame(seen, namesOf(sequence))
  t.ok(ends.size > 0)
  const query = new URLSearchParams(requests[0]?.split('?')[1])
  t.match(Object.fromEntries(query), { tags: 'instance_recdw9k', createdAt: '20m', offset: '-1' })
})

interface Recorded {
  request: { path: string }
  response: { status: number; headers: Record<string, string>; body: unknown }
}

/** What a poll of the feed asks for. */
function positionOf(path: string): string {
  const query = new URLSearchParams(path.split('?')[1])
  return ['offset', 'handle', 'cursor', 'live'].map((name) => query.get(name)).join(' ')
}

const electric = (headers: Record<string, string>) =>
  Object.fromEntries(Object.entries(headers).filter(([name]) => name.startsWith('electric-')))

const STATUSES: Record<string, string> = {
  PENDING: 'queued',
  DEQUEUED: 'running',
  EXECUTING: 'running',
  COMPLETED_SUCCESSFULLY: 'completed',
}

/** What a recorded sequence says, by hand. */
const namesOf = (sequence: Array<{ response: { body: unknown } }>): string[] =>
  sequence.flatMap(({ response }) =>
    (response.body as Array<{ value?: { friendlyId: string; status: string } }>).flatMap(({ value }) =>
      value === undefined ? [] : [`${value.friendlyId} ${STATUSES[value.status]}`],
    ),
  )

test('one bad row of the feed is logged and left out, and the subscription goes on', async (t) => {
  const polls = [
    [row('a', 'PENDING'), row('bad1', 'MELTED'), row('bad2', 'EXECUTING', { createdAt: 'yesterday' })],
    [
      { ...row('bad3', 'EXECUTING'), value: { status: 'EXECUTING' } },
      row('b', 'EXECUTING', { runTags: null }),
    ],
    // A backend that sends what has changed alone.
    [
      {
        ...row('a', ''),
        value: { id: 'a', status: 'COMPLETED_WITH_ERRORS' },
        headers: { operation: 'update' },
      },
    ],
    // What comes after the end of a run is no news.
    [{ ...row('a', ''), value: { id: 'a', updatedAt: 'later' }, headers: { operation: 'update' } }],
    [{ ...row('b', ''), headers: { operation: 'delete' } }, row('c', 'EXPIRED')],
  ]
  let next = 0
  const { engine, logged } = await httpEngine(t, (_request, response) => {
    const messages = polls[next]
    if (messages !== undefined) answerFeed(response, ++next, messages)
  })
  const stop = new AbortController()
  const seen: string[] = []
  for await (const { runId, status, tags } of engine.changes('instance_a', stop.signal)) {
    seen.push(`${runId} ${status} ${tags}`)
    if (runId === 'run_c') stop.abort()
  }
  t.strictSame(seen, [
    'run_a queued instance_a,turn_1',
    'run_b running ',
    'run_a failed instance_a,turn_1',
    'run_c failed instance_a,turn_1',
  ])
  t.strictSame(
    logged.map(({ runId }) => runId),
    ['run_bad1', 'run_bad2'],
  )
})

test('a subscription that is refused breaks, so that it is opened anew', async (t) => {
  const { engine, logged } = await httpEngine(t, (_request, response) =>
    answerJson(response, { error: 'Invalid API key' }, 401),
  )
  await t.rejects(idsOf(engine.changes('t', new AbortController().signal)), { code: 'engine_refused' })
  t.equal(logged.length, 1)
})
