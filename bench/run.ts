/**
 * npm run bench: measures what a request costs, beside two baselines. See bench/README.md.
 *
 * --case TEXT     only cases whose names contain the text
 * --rounds N      rounds of each case, 5 when left out
 * --seconds N     seconds of each round, 4 when left out
 * --rows N        only the hot paths, on a database with so many messages (10M, 200k) and on an empty one
 * --json          the figures as JSON
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { SignJWT } from 'jose'
import { startTestDatabase } from '../test/support/test-database.ts'
import { type Case, casesOf, type ServerName } from './parts/cases.ts'
import { type Server, startServer } from './parts/child.ts'
import { type Round, ratio, ratioText, spread } from './parts/figures.ts'
import { growth } from './parts/growth.ts'
import { round } from './parts/load.ts'
import { endRuns, USER, writeRows } from './parts/rows.ts'
import { boot } from './trials/boot.ts'
import { redis } from './trials/redis.ts'
import type { Bench } from './trials/trial.ts'
import { turns } from './trials/turns.ts'
import { unfinished } from './trials/unfinished.ts'
import { waiters } from './trials/waiters.ts'

const { values: wanted } = parseArgs({
  options: {
    case: { type: 'string', default: '' },
    rounds: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '4' },
    rows: { type: 'string' },
    json: { type: 'boolean', default: false },
  },
})
const TRIALS = [boot, turns, unfinished, waiters, redis]
const SECRET = 'a secret of the benchmark of over thirty-two bytes'

const database = await startTestDatabase(process.env.TEST_DATABASE_URL)
const address = new URL(database.environment.TEST_DATABASE_SERVER)
address.pathname = `/${database.environment.TEST_DATABASE_TEMPLATE}`
const folder = mkdtempSync(join(tmpdir(), 'agent-chat-bench-'))
const started: Server[] = []
const open = async (name: string, file: string, env: Record<string, string> = {}) => {
  const server = await startServer(name, file, env, join(folder, `${name}.log`))
  started.push(server)
  return server
}

try {
  const rows = await writeRows(address.href)
  const engine = await open('engine', 'parts/engine-stub.ts')
  const settings = {
    NODE_ENV: 'production',
    DATABASE_URL: address.href,
    TRIGGER_SECRET_KEY: 'tr_dev_bench',
    TRIGGER_API_URL: engine.url,
    TRIGGER_CALLS_PER_MINUTE: '0',
    AUTH_JWT_SECRET: SECRET,
    RATE_LIMIT_START_MAX: '1000000',
    RATE_LIMIT_READ_MAX: '1000000',
  }
  const servers: Record<ServerName, Server> = {
    bare: await open('bare', 'baseline/bare.ts', settings),
    duties: await open('duties', 'baseline/duties.ts', settings),
    service: await open('service', 'parts/service.ts', settings),
    'service without engine': await open('service without engine', 'parts/service.ts', {
      ...settings,
      BENCH_WITHOUT_ENGINE: '1',
    }),
  }
  const token = await new SignJWT({ scope: 'agent:read agent:write' })
    .setProtectedHeader({ alg: 'HS256' })
    .setSubject(USER)
    .setExpirationTime('1d')
    .sign(new TextEncoder().encode(SECRET))
  if (wanted.rows !== undefined) {
    const table = await growth({
      rows: wanted.rows,
      empty: { url: address.href, rows, service: servers.service },
      serve: (url) => open('service, full', 'parts/service.ts', { ...settings, DATABASE_URL: url }),
      token,
      rounds: Number(wanted.rounds),
      seconds: Number(wanted.seconds),
    })
    if (wanted.json) console.log(JSON.stringify(table, null, 2))
    else console.table(table)
    await Promise.all(started.map((server) => server.stop()))
    await database.stop()
    process.exit(0)
  }
  const first = await fetch(`${servers.service.url}/api/agent/chat/${rows.small}`, {
    headers: { authorization: `Bearer ${token}` },
  })
  const cases = casesOf(rows, token, first.headers.get('etag') ?? '').filter(({ name }) =>
    name.includes(wanted.case),
  )
  const results = []
  for (const one of cases) results.push(await measure(one, servers))
  if (!wanted.json && results.length > 0) console.table(results.flatMap(lines))
  const bench: Bench = {
    ...{ service: servers.service, databaseUrl: address.href, settings, rows },
    authorization: `Bearer ${token}`,
    ms: Number(wanted.seconds) * 1000,
  }
  const trials: Record<string, Record<string, string>> = {}
  for (const trial of TRIALS)
    if (trial.name.includes(wanted.case)) trials[trial.name] = await trial.run(bench)
  if (wanted.json) console.log(JSON.stringify({ cases: results, trials }, null, 2))
  else print(trials)
} finally {
  await Promise.all(started.map((server) => server.stop()))
  await database.stop()
  rmSync(folder, { recursive: true })
}
process.exit(0)

/** Measures the servers in turn, round after round, so that a disturbance of the machine affects all of them. */
async function measure({ name, servers: names, load, isEnded }: Case, servers: Record<ServerName, Server>) {
  const rounds = new Map<ServerName, Round[]>(names.map((server) => [server, []]))
  for (const server of names) await round(servers[server], load, 1) // This round warms up the code of the case.
  for (let n = 0; n < Number(wanted.rounds); n++) {
    for (const server of n % 2 ? [...names].reverse() : names) {
      if (isEnded) await endRuns(address.href)
      rounds.get(server)?.push(await round(servers[server], load, Number(wanted.seconds)))
    }
  }
  return { case: name, servers: Object.fromEntries(rounds) }
}

function print(trials: Record<string, object>): void {
  for (const [name, figures] of Object.entries(trials)) {
    console.log(`\n${name}`)
    for (const [what, figure] of Object.entries(figures)) console.log(`  ${what.padEnd(40)} ${figure}`)
  }
}

function lines({ case: name, servers }: Awaited<ReturnType<typeof measure>>) {
  const figures = (server: string, of: keyof Round) => (servers[server] ?? []).map((one) => one[of])
  return Object.keys(servers).map((server) => {
    const beside = (baseline: string, of: keyof Round) =>
      server === baseline || servers[baseline] === undefined
        ? ''
        : ratioText(ratio(figures(server, of), figures(baseline, of)))
    const { median, min, max } = spread(figures(server, 'cpu'))
    return {
      case: name,
      server,
      'per second': Math.round(spread(figures(server, 'rate')).median),
      p50: spread(figures(server, 'p50')).median,
      p99: spread(figures(server, 'p99')).median,
      'CPU µs': `${Math.round(median)} (${Math.round(min)}–${Math.round(max)})`,
      'CPU × duties': beside('duties', 'cpu'),
      'rate × duties': beside('duties', 'rate'),
      'rate × bare': beside('bare', 'rate'),
    }
  })
}
