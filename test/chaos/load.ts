import { setTimeout as sleep } from 'node:timers/promises'
import type pg from 'pg'
import { seeded } from '../support/random.ts'
import { type CallerLog, converse } from './callers.ts'
import { check } from './checker.ts'
import type { Cluster } from './cluster.ts'
import { callEngine, engineRuns } from './engine-runs.ts'
import { type Misfortune, misfortunes } from './misfortunes.ts'
import { MUTATION_COUNT, unseenMutations } from './mutations.ts'
import type { Report } from './report.ts'

export interface LoadOptions {
  /** The callers hold at least so many conversations, and go on until every misfortune has happened once. */
  threads: number
  turns: number
  /** Number of callers, and the milliseconds that a caller waits between two conversations. */
  parallel: number
  pauseMs: number
  /** No start and no misfortune begins after this time. */
  seconds: number
  seed: number
  /** Milliseconds between two misfortunes. */
  everyMs: number
  /** These misfortunes happen once each, in this order. Absent: all of them, in any order, until the callers are done. */
  misfortunes?: Misfortune[]
  /** Makes unfinished runs due at once, because a queued run may not be due for a minute. */
  hurry?: boolean
}

/** How long runs may stay unfinished, and how long without a row: the search for runs without a row comes once a minute. */
const END_MS = 120_000
const ADOPTION_MS = 80_000

/** Holds conversations during misfortunes. Afterwards every accepted turn must be stored once, in order, and ended. */
export async function runLoad(cluster: Cluster, options: LoadOptions, report: Report): Promise<void> {
  const random = seeded(options.seed)
  const until = Date.now() + options.seconds * 1_000
  const trouble = misfortunes(cluster, {
    ...options,
    ...(options.misfortunes === undefined ? {} : { chosen: options.misfortunes }),
    random,
    until,
  })
  let silent = false
  const startedAt = performance.now()
  const troubled = trouble.run(() => silent || options.misfortunes !== undefined)
  troubled.catch(() => {}) // `calm` awaits this promise later. Until then its rejection must not end the process.
  let seconds = 0
  const calm = async () => {
    seconds = (performance.now() - startedAt) / 1_000
    silent = true
    if (process.env.CHAOS_LOG) console.error(new Date().toISOString(), 'callers are done')
    await troubled
    await cluster.mend()
  }
  const log = await converse(cluster, { ...options, until, random, busy: () => !trouble.complete(), calm })

  const endedIn = await allEnded(cluster, log, options.hurry ?? false)
  const client = await cluster.connect()
  try {
    const evidence = { log, kills: trouble.kills, engine: await engineRuns(cluster) }
    const violations = await check(client, evidence)
    const { rows } = await client.query<{ status: string; n: number }>(
      `select case when status = 'failed' then error_code else status end as status, count(*)::int n
       from runs group by 1 order by 2 desc`,
    )
    const rate = (log.accepted.length / seconds).toFixed(1)
    report.note(
      `seed ${options.seed}: ${log.held} conversations held, ${log.accepted.length} turns accepted (${log.parallel} beside others) in ${seconds.toFixed(0)} s, ${rate} a second; ${log.requests} requests, ${log.retried} repeated`,
    )
    report.note(`misfortunes: ${[...trouble.counts].map(([name, n]) => `${n} × ${name}`).join(', ')}`)
    report.note(
      `runs: ${rows.map(({ status, n }) => `${n} ${status}`).join(', ')}; ${evidence.engine.length} in the engine; the last one ended ${endedIn} s after the last misfortune`,
    )
    report.result('every misfortune has happened', trouble.complete())
    report.result(`${options.threads} conversations were held (${log.held})`, log.held >= options.threads)
    const deaths = cluster.instances.reduce((sum, instance) => sum + instance.process.deaths, 0)
    report.result(`no instance ended by itself (${deaths} did)`, deaths === 0)
    for (const { rule, what, conversationId } of violations.slice(0, 10)) {
      report.note(`violated: ${rule}: ${what}`)
      if (conversationId !== undefined)
        for (const line of await describe(cluster, client, log, conversationId)) report.note(`  ${line}`)
    }
    report.result(
      'every accepted start has one run, one end, one message in its place',
      violations.length === 0,
    )
    const unseen = await unseenMutations(cluster, client, evidence)
    for (const name of unseen) report.note(`not seen: ${name}`)
    report.result(`the checker sees each of ${MUTATION_COUNT} broken rules`, unseen.length === 0)
  } finally {
    await client.end()
  }
}

/**
 * Waits until nothing is unfinished any more and every run that was accepted has its row: one that was started
 * without the database has none until its instance, or the search of another one, writes it. @returns seconds
 */
async function allEnded(cluster: Cluster, log: CallerLog, hurry: boolean): Promise<number> {
  const client = await cluster.connect()
  const runIds = log.accepted.map(({ runId }) => runId)
  const startedAt = Date.now()
  try {
    for (let waited = 0; waited < END_MS; waited = Date.now() - startedAt) {
      const { rows } = await client.query(
        `select ((select count(*) from runs where status in ('queued', 'running') or check_at is not null)
           + (select count(*) from turns where state <> 'started'))::int as unfinished,
         (select count(*)::int from unnest($1::text[]) as accepted (run_id)
           where not exists (select from runs where runs.run_id = accepted.run_id)) as missing`,
        [runIds],
      )
      const { unfinished, missing } = rows[0]
      if (unfinished === 0 && (missing === 0 || waited > ADOPTION_MS)) break
      if (hurry)
        await client.query(
          `update runs set check_at = now() where status in ('queued', 'running') and check_at > now() + interval '3 seconds'`,
        )
      await sleep(250)
    }
  } finally {
    await client.end()
  }
  return Math.round((Date.now() - startedAt) / 1_000)
}

/** One line for each turn of a conversation, in the order of their places: its run, its times and its payload. */
async function describe(
  cluster: Cluster,
  client: pg.Client,
  log: CallerLog,
  conversationId: string,
): Promise<string[]> {
  const { rows } = await client.query(
    `select run_id, position, status, created_at, started_at, finished_at from runs
     where conversation_id = $1 order by position`,
    [conversationId],
  )
  const lines = []
  for (const { run_id, position, status, created_at, started_at, finished_at } of rows) {
    const start = log.accepted.find(({ runId }) => runId === run_id)
    const run = await callEngine(cluster.engine, 'GET', `/api/v3/runs/${run_id}`).catch(() => undefined)
    const { history = [], ahead = [] } = run?.payload?.json ?? run?.payload ?? {}
    const times = { sent: start?.sentAt, accepted: start?.acceptedAt, created_at, started_at, finished_at }
    const clock = Object.entries(times).map(
      ([name, time]) => `${name} ${time && new Date(time).toISOString().slice(14, 23)}`,
    )
    const told = history.map(({ parts }: { parts: Array<{ text?: string }> }) => parts[0]?.text?.slice(0, 24))
    lines.push(
      `${position} ${start?.message.slice(0, 10)} ${run_id} ${status}; ${clock.join(', ')}; engine ${run?.createdAt}; told ${JSON.stringify(told)} and ${JSON.stringify(ahead)}`,
    )
  }
  return lines
}
