/**
 * Tries the image as production runs it: two instances with a Postgres and a local engine of their own, each in
 * its container. Takes about three minutes; exit code 0 when everything held.
 *
 *   node test/ship/try-image.ts "docker run --rm --read-only --network host {env} agent-chat-service {command}" [starts/s]
 *
 * With the image's description in IMAGE_INSPECT (`docker image inspect agent-chat-service`) its labels are looked
 * at too.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { constants, setPriority, tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { startPostgres } from '../../src/local/postgres.ts'
import { caller, type Reply } from './image/caller.ts'
import { type Container, startContainer } from './image/container.ts'
import { type Contents, HEALTHCHECK, LABELS, LOOK_INSIDE } from './image/contents.ts'
import { startGate } from './image/gate.ts'
import { isWhole, view } from './image/viewer.ts'

const LAUNCHER = process.argv[2]
if (!LAUNCHER) {
  console.error(
    'Give the command that runs the image, with {env} and {command} in it; see the head of this file.',
  )
  process.exit(2)
}
const SECRET = 'a-secret-of-the-image-trial-that-is-long-enough'
const ENGINE_KEY = 'tr_dev_image_trial'
const STARTS_PER_SECOND = Number(process.argv[3] ?? 100)
const STREAMS = 50
const OUTAGE_SECONDS = 20
const SETTLE_SECONDS = 180

const users = Array.from({ length: 100 }, (_, n) => `user-${n}`)
const { call, headers } = caller(SECRET)
let failures = 0
function check(holds: boolean, what: string, figures = ''): void {
  if (!holds) failures += 1
  console.log(`${holds ? 'ok    ' : 'FAILED'}  ${what}${figures === '' ? '' : `  (${figures})`}`)
}

// So that what was started here ends with it.
process.once('SIGINT', () => process.exit(1))
const folder = await mkdtemp(join(tmpdir(), 'agent-chat-image-'))
const quiet = { info() {}, warn: console.error, error: console.error }
const openDatabase = () => startPostgres({ dataDir: folder, log: quiet })
let postgres = await openDatabase()
const gate = await startGate(Number(new URL(postgres.url).port))
const databaseUrl = Object.assign(new URL(postgres.url), { port: String(gate.port) }).href
const containers: Container[] = []
const run = async (name: string, environment: Record<string, string>, command?: string[]) => {
  const container = await startContainer(String(LAUNCHER), name, environment, command)
  containers.push(container)
  return container
}

try {
  await trial()
} catch (error) {
  failures += 1
  console.error(error)
  for (const { name, output } of containers) console.error(`--- ${name}\n${output()}`)
} finally {
  for (const { signal } of containers) {
    try {
      signal('SIGKILL')
    } catch {
      // It has ended already.
    }
  }
  gate.close()
  await postgres.stop()
  await rm(folder, { recursive: true, force: true })
}
console.log(failures === 0 ? '\nEverything held.' : `\n${failures} did not hold.`)
process.exit(failures === 0 ? 0 : 1)

async function trial(): Promise<void> {
  await lookInside()
  const migration = await run('migration', { DATABASE_URL: databaseUrl }, ['node', 'src/bin/migrate.ts'])
  check((await migration.ended) === 0, 'the image migrates', lastLine(migration))
  const nothing = await run('without settings', {})
  check((await nothing.ended) === 1, 'without settings it refuses to start')
  for (const name of ['DATABASE_URL', 'TRIGGER_SECRET_KEY', 'AUTH_JWT_SECRET'])
    check(nothing.output().includes(name), `and names ${name}`)

  const enginePort = await freePort()
  const engineUrl = `http://127.0.0.1:${enginePort}`
  const engine = await run(
    'engine',
    {
      TRIGGER_SECRET_KEY: ENGINE_KEY,
      LOCAL_ENGINE_PORT: String(enginePort),
      LOCAL_ENGINE_CONCURRENCY: '6',
      LOG_LEVEL: 'warn',
    },
    ['node', 'src/local/engine/main.ts'],
  )
  await answering(`${engineUrl}/healthcheck`)
  yieldCpu(engine)

  const instance = async (name: string) => {
    const port = await freePort()
    const container = await run(name, {
      PORT: String(port),
      DATABASE_URL: databaseUrl,
      TRIGGER_SECRET_KEY: ENGINE_KEY,
      TRIGGER_API_URL: engineUrl,
      TRIGGER_CALLS_PER_MINUTE: '0',
      AUTH_JWT_SECRET: SECRET,
      RATE_LIMIT_START_MAX: '1000000',
      RATE_LIMIT_READ_MAX: '1000000',
      LOG_LEVEL: 'warn',
    })
    return { ...container, url: `http://127.0.0.1:${port}` }
  }
  const [a, b] = await Promise.all([instance('instance a'), instance('instance b')])
  for (const { url, name, uid } of [a, b]) {
    await answering(`${url}/readyz`)
    const ready = await call(url, 'nobody', 'GET', '/readyz')
    check(
      ready.outcome === 200 && ready.body.status === 'ok',
      `${name} is ready`,
      JSON.stringify(ready.body.components),
    )
    check((await call(url, 'nobody', 'GET', '/livez')).outcome === 200, `${name} is alive`)
    check(uid() !== 0, `${name} is not root`, `uid ${uid()}`)
  }
  check(engine.uid() !== 0, 'the engine is not root', `uid ${engine.uid()}`)
  const healthy = async (PORT: string) => (await run('health check', { PORT }, HEALTHCHECK)).ended
  check((await healthy(new URL(a.url).port)) === 0, 'the HEALTHCHECK finds it alive')
  check((await healthy(String(await freePort()))) === 1, 'and no service answers where none runs')
  const turn = await call(a.url, 'alice', 'POST', '/api/agent/chat', { message: 'What is 17 * 23?' })
  const answer = await call(b.url, 'alice', 'GET', `/api/agent/chat/${turn.body.runId}?wait=30`)
  const end = answer.body.status === 'completed' ? answer : await settled(b.url, 'alice', turn.body.runId)
  check(end.body.text === '17 * 23 = 391.', 'start on one, completed on the other', end.body.text)

  await drainUnderLoad(a, b.url)
  await outageUnderLoad(b.url)

  for (const container of [b, engine]) {
    const since = performance.now()
    container.signal('SIGTERM')
    await container.gone()
    const took = seconds(since)
    check((await container.ended) === 0, `${container.name} ends with 0`, took)
  }
}

/** What the image is made of, before anything of it serves. */
async function lookInside(): Promise<void> {
  const look = await run('contents', {}, LOOK_INSIDE)
  await look.ended
  const { writing, foreign, allBytes, appBytes } = JSON.parse(lastLine(look)) as Contents
  const size = (bytes: number) => `${(bytes / 1e6).toFixed(0)} MB`
  console.log(`        size: ${size(allBytes)}, ${size(appBytes)} of them the service with its packages`)
  check(
    foreign.length === 0,
    'no database, no second Node and no development package is in it',
    foreign.join(' '),
  )
  if (writing === 'EROFS') check(true, 'all of it runs on a read-only root file system')
  else console.log(`        not tried: a read-only root file system (this one is not: ${writing})`)
  const description = process.env.IMAGE_INSPECT
  if (description === undefined) return console.log('        not tried: labels (IMAGE_INSPECT is not set)')
  for (const [name, value] of LABELS)
    check(description.includes(`"${name}": ${JSON.stringify(value)}`), `label ${name}`, value)
}

/** SIGTERM to one of two instances during open streams and a flood of starts. */
async function drainUnderLoad(a: Container & { url: string }, other: string): Promise<void> {
  const giveUp = AbortSignal.timeout(SETTLE_SECONDS * 1000)
  // What a balancer does: probe, and send traffic where readiness says so.
  let target = a.url
  const balancing = new AbortController()
  let turnedAway = Number.NaN
  const balancer = (async () => {
    while (!balancing.signal.aborted) {
      const { outcome } = await call(a.url, 'nobody', 'GET', '/readyz')
      if (outcome !== 200 && target === a.url) {
        target = other
        turnedAway = performance.now()
      }
      await sleep(250)
    }
  })()

  const told = await Promise.all(
    users.slice(0, 5).map(async (user) => {
      const { outcome, body } = await call(a.url, user, 'POST', '/api/agent/chat', {
        message: 'Tell me a story of 150 sentences',
      })
      if (outcome !== 202) throw new Error(`a story was not started: ${outcome} ${JSON.stringify(body)}`)
      return { user, runId: String(body.runId) }
    }),
  )
  const viewers = Array.from({ length: STREAMS }, (_, n) => {
    const story = told[n % told.length]
    return view({ call, headers }, story?.user ?? '', story?.runId ?? '', () => target, giveUp)
  })

  const starts: Array<Promise<{ user: string; reply: Reply }>> = []
  const floodsSince = performance.now()
  const flood = setInterval(() => {
    // By the clock: a timer that is late makes up for it.
    while (starts.length < ((performance.now() - floodsSince) / 1000) * STARTS_PER_SECOND) {
      const user = users[starts.length % users.length] ?? ''
      const start = call(target, user, 'POST', '/api/agent/chat', { message: 'Hello' })
      starts.push(start.then((reply) => ({ user, reply })))
    }
  }, 10)
  await sleep(4000)
  const since = performance.now()
  a.signal('SIGTERM')
  await a.gone()
  const took = seconds(since)
  check(
    turnedAway - since < 5_000,
    'SIGTERM under load: the balancer turned away before anything ended',
    `${((turnedAway - since) / 1000).toFixed(1)} s`,
  )
  check(performance.now() - since < 25_000, 'SIGTERM under load: gone within SHUTDOWN_TIMEOUT_SECONDS', took)
  await sleep(1000)
  clearInterval(flood)
  const floodSeconds = (performance.now() - floodsSince) / 1000
  const code = await a.ended
  check(code === 0, 'and the exit code is 0', `${code}`)
  if (code !== 0) console.log(a.output())
  balancing.abort()
  await balancer

  const replies = await Promise.all(starts)
  const kinds = replies.map(({ reply: { outcome, body } }) =>
    `${outcome} ${body?.code ?? (typeof outcome === 'string' ? body : '')}`.trim(),
  )
  const outcomes = [...new Set(kinds)].map((kind) => `${kind}: ${kinds.filter((of) => of === kind).length}`)
  check(
    replies.every(({ reply }) => reply.outcome === 202),
    `no start failed, ${(starts.length / floodSeconds).toFixed(0)}/s`,
    outcomes.join(', '),
  )
  const unfinished = await notCompleted(
    other,
    replies.map(({ user, reply }) => ({ user, runId: reply.body?.runId })),
  )
  check(unfinished.length === 0, 'every accepted run completed', `${replies.length - unfinished.length}`)
  const said = await Promise.all(told.map(({ user, runId }) => settled(other, user, runId)))
  const seen = await Promise.all(viewers)
  const whole = seen.filter((viewing, n) => isWhole(viewing, said[n % said.length]?.body?.text))
  const resumed = seen.filter(({ resumptions }) => resumptions > 0).length
  check(
    whole.length === STREAMS,
    `${STREAMS} streams were resumed without a word lost or repeated`,
    `${whole.length} whole, ${resumed} resumed, ${seen[0]?.text.length} characters each`,
  )
}

/** Postgres is stopped and comes back, while callers start, ask and follow up. */
async function outageUnderLoad(url: string): Promise<void> {
  const first = await call(url, 'alice', 'POST', '/api/agent/chat', { message: 'Hello' })
  await settled(url, 'alice', first.body.runId)
  const { runId, conversationId } = first.body

  await postgres.stop()
  const polls: Reply[] = []
  const follows: Reply[] = []
  const probes: Reply[] = []
  const fresh: Array<{ user: string; reply: Reply }> = []
  const every = async (ms: number, work: (n: number) => Promise<void>) => {
    const going: Promise<void>[] = []
    for (let n = 0; n < (OUTAGE_SECONDS * 1000) / ms; n++) {
      going.push(work(n))
      await sleep(ms)
    }
    await Promise.all(going)
  }
  await Promise.all([
    every(50, async () => void polls.push(await call(url, 'alice', 'GET', `/api/agent/chat/${runId}`))),
    every(200, async () => {
      follows.push(await call(url, 'alice', 'POST', '/api/agent/chat', { message: 'And?', conversationId }))
    }),
    every(500, async () => void probes.push(await call(url, 'nobody', 'GET', '/readyz'))),
    every(50, async (n) => {
      const user = users[n % users.length] ?? ''
      fresh.push({ user, reply: await call(url, user, 'POST', '/api/agent/chat', { message: 'Hello' }) })
    }),
  ])
  postgres = await openDatabase()
  gate.lead(Number(new URL(postgres.url).port))
  const back = performance.now()

  const refusedWell = ({ outcome, body }: Reply) =>
    outcome === 503 && body.code === 'database_unavailable' && body.retryAfter > 0
  const slowest = (replies: Reply[]) =>
    `slowest ${Math.max(...replies.map(({ milliseconds }) => milliseconds)).toFixed(0)} ms`
  check(polls.every(refusedWell), `${polls.length} polls got 503 with retryAfter`, slowest(polls))
  check(follows.every(refusedWell), `${follows.length} follow-ups got 503 with retryAfter`, slowest(follows))
  check(
    [...polls, ...follows].every(({ milliseconds }) => milliseconds < 2500),
    'and quickly',
  )
  const degraded = probes.filter(({ outcome, body }) => outcome === 200 && body.status === 'degraded')
  check(
    degraded.length >= probes.length - 4,
    'readiness said degraded, with 200',
    `${degraded.length} of ${probes.length}`,
  )
  const accepted = fresh.filter(({ reply }) => reply.outcome === 202)
  check(
    accepted.length === fresh.length,
    'fresh starts went on',
    `${accepted.length} of ${fresh.length}, ${slowest(fresh.map(({ reply }) => reply))}`,
  )

  while (
    (await call(url, 'nobody', 'GET', '/readyz')).body.status !== 'ok' &&
    performance.now() - back < 60_000
  )
    await sleep(200)
  check(
    (await call(url, 'alice', 'GET', `/api/agent/chat/${runId}`)).outcome === 200,
    'it recovered by itself',
    seconds(back),
  )
  const lost = await notCompleted(
    url,
    accepted.map(({ user, reply }) => ({ user, runId: reply.body.runId })),
  )
  check(
    lost.length === 0,
    'every accepted run was adopted and completed',
    `${accepted.length - lost.length}, ${seconds(back)}`,
  )
}

/** Asks until the run has ended, or the time is up. */
async function settled(
  url: string,
  user: string,
  runId: string,
  until = performance.now() + SETTLE_SECONDS * 1000,
) {
  for (;;) {
    const reply = await call(url, user, 'GET', `/api/agent/chat/${runId}?wait=10`)
    if (['completed', 'failed', 'cancelled'].includes(reply.body?.status) || performance.now() > until)
      return reply
    if (reply.outcome !== 200) await sleep(500)
  }
}

async function notCompleted(url: string, runs: Array<{ user: string; runId: string }>) {
  const until = performance.now() + SETTLE_SECONDS * 1000
  const left = [...runs]
  const unfinished: string[] = []
  const ask = async () => {
    for (let one = left.pop(); one !== undefined; one = left.pop()) {
      const { body } = await settled(url, one.user, one.runId, until)
      if (body?.status !== 'completed') unfinished.push(`${one.runId} ${body?.status ?? body?.code}`)
    }
  }
  await Promise.all(Array.from({ length: 20 }, ask))
  if (unfinished.length > 0) console.log(unfinished.slice(0, 5).join('\n'))
  return unfinished
}

/** The workers' work is not what is tried here, and in production it is done elsewhere. */
function yieldCpu(engine: Container): void {
  const yielding = setInterval(() => {
    for (const pid of engine.children()) {
      try {
        setPriority(pid, constants.priority.PRIORITY_LOW)
      } catch {
        // It has ended meanwhile.
      }
    }
  }, 200)
  yielding.unref()
}

async function answering(url: string): Promise<void> {
  for (const until = performance.now() + 60_000; performance.now() < until; await sleep(100)) {
    const response = await fetch(url).catch(() => undefined)
    await response?.body?.cancel()
    if (response?.ok) return
  }
  throw new Error(`${url} does not answer`)
}

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const probe = createServer().listen(0, '127.0.0.1', () => {
      const address = probe.address()
      probe.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0))
    })
  })
}

function lastLine({ output }: Container): string {
  return output().trim().split('\n').at(-1) ?? ''
}

function seconds(since: number): string {
  return `${((performance.now() - since) / 1000).toFixed(1)} s`
}
