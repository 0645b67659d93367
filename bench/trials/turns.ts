import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import pg from 'pg'
import type { Bench, Trial } from './trial.ts'

const LAUNCH = fileURLToPath(new URL('../../src/bin/launch.mjs', import.meta.url))
const [PORT, METRICS_PORT] = [39_472, 39_473]
const TURNS = 200
const AT_ONCE = 4

/** Measures what a whole turn costs the database and the engine, by two hundred syncs in new conversations. */
export const turns: Trial = {
  name: 'a whole turn',
  async run(bench) {
    const { TRIGGER_SECRET_KEY: _, TRIGGER_API_URL: __, NODE_ENV: ___, ...settings } = bench.settings
    const child = spawn(process.execPath, [LAUNCH, 'server'], {
      env: {
        ...process.env,
        ...settings,
        PORT: String(PORT),
        METRICS_PORT: String(METRICS_PORT),
        ENV_FILE: '',
      },
      stdio: ['ignore', 'ignore', 'inherit'],
    })
    const exited = once(child, 'exit')
    const client = new pg.Client({ connectionString: bench.databaseUrl })
    await client.connect()
    try {
      await answered(child)
      await syncs(bench, 20)
      const before = await counted(client)
      const since = performance.now()
      await syncs(bench, TURNS)
      const seconds = (performance.now() - since) / 1000
      // Work after the answers is counted too, such as the sweeps of these seconds.
      await new Promise((resolve) => setTimeout(resolve, 2_000))
      const after = await counted(client)
      const each = (of: keyof typeof after) => (after[of] - before[of]) / TURNS
      return {
        'turns a second': (TURNS / seconds).toFixed(1),
        'transactions of the database a turn': each('transactions').toFixed(1),
        'bytes of its log a turn': each('wal').toFixed(0),
        'bytes of its tables and indexes a turn': each('size').toFixed(0),
        'calls to the engine a turn': each('calls').toFixed(2),
        'CPU of service and local engine a turn': `${(each('cpu') * 1000).toFixed(1)} ms`,
      }
    } finally {
      await client.end()
      child.kill()
      await exited
    }
  },
}

async function answered(child: { exitCode: number | null }): Promise<void> {
  while (child.exitCode === null) {
    const response = await fetch(`http://127.0.0.1:${PORT}/readyz`).catch(() => undefined)
    await response?.text()
    if (response?.status === 200) return
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  throw new Error('the service ended')
}

async function syncs({ authorization }: Bench, count: number): Promise<void> {
  let left = count
  const lane = async () => {
    while (left-- > 0) {
      const response = await fetch(`http://127.0.0.1:${PORT}/api/agent/chat/sync`, {
        method: 'POST',
        headers: { authorization, 'content-type': 'application/json' },
        body: '{"message":"What is 17 * 23?"}',
      })
      const answer = await response.text()
      if (response.status !== 200) throw new Error(`a sync was answered with ${response.status}: ${answer}`)
    }
  }
  await Promise.all(Array.from({ length: AT_ONCE }, lane))
}

async function counted(client: pg.Client) {
  await client.query('select pg_stat_force_next_flush()').catch(() => {})
  const { rows } = await client.query<{ transactions: number; wal: number; size: number }>(
    `select (select xact_commit::float8 from pg_stat_database where datname = current_database()) as transactions,
       (pg_current_wal_insert_lsn() - '0/0')::float8 as wal, pg_database_size(current_database())::float8 as size`,
  )
  const metrics = await (await fetch(`http://127.0.0.1:${METRICS_PORT}/metrics`)).text()
  const sum = (name: string) =>
    metrics
      .split('\n')
      .filter((line) => line.startsWith(name))
      .reduce((total, line) => total + Number(line.split(' ').at(-1)), 0)
  const { transactions = 0, wal = 0, size = 0 } = rows[0] ?? {}
  return {
    ...{ transactions, wal, size },
    calls: sum('agent_chat_engine_call_duration_seconds_count'),
    cpu: sum('process_cpu_seconds_total'),
  }
}
