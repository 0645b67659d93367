import { checkEngine, type Ended } from './checker.ts'
import { type Cluster, type Instance, request, startCluster } from './cluster.ts'
import { CANCELS } from './deaths/cancel.ts'
import { DISPATCHES } from './deaths/dispatch.ts'
import { ENGINES } from './deaths/engine.ts'
import { ENDS } from './deaths/finalize.ts'
import { RECORDS } from './deaths/record.ts'
import { type Death, type Stage, start, until, type Way } from './deaths/stage.ts'
import { STARTS } from './deaths/start.ts'
import { callEngine, engineRuns } from './engine-runs.ts'
import type { Report } from './report.ts'

type Row = Omit<Death, 'ways'> & { way: Way | undefined }

/** The table of deaths: which part dies or hangs, at which step, and within which time the service repairs it. */
const TABLE: Row[] = [STARTS, DISPATCHES, RECORDS, ENDS, CANCELS, ENGINES].flat().flatMap(rowsOf)

/** Deaths are mostly waited for, so several clusters play them at the same time. */
const LANES = 5

function rowsOf({ ways, ...death }: Death): Row[] {
  if (ways === undefined) return [{ ...death, way: undefined }]
  return ways.map((way) => ({
    ...death,
    way,
    name: way === 'hang' ? death.name.replace(' dies', ' hangs') : death.name,
  }))
}

/** Plays the deaths whose names match, and measures how long the service takes to repair them. */
export async function runDeaths(report: Report, chosen = /./): Promise<void> {
  // The longest deaths come first, so that all lanes end at about the same time.
  const rows = TABLE.filter(({ name }) => chosen.test(name)).sort((a, b) => b.within - a.within)
  const lane = async () => {
    const cluster = await startCluster(2)
    try {
      for (let row = rows.shift(); row !== undefined; row = rows.shift()) await play(cluster, row, report)
      await checkRest(cluster, report)
    } finally {
      await cluster.stop()
    }
  }
  await Promise.all(Array.from({ length: Math.min(LANES, rows.length) }, lane))
}

async function play(cluster: Cluster, { name, way, within, happen }: Row, report: Report): Promise<void> {
  const [victim, witness] = cluster.instances as [Instance, Instance]
  const client = await cluster.connect()
  const notes: string[] = []
  const stage: Stage = {
    cluster,
    way,
    victim,
    witness,
    client,
    strike: async () => (way === 'hang' ? victim.process.freeze() : victim.process.kill()),
    note: (line) => void notes.push(line),
  }
  const told = () => notes.map((line) => `${line}; `).join('')
  try {
    const isRepaired = await happen(stage)
    const startedAt = performance.now()
    const repaired = await until(() => isRepaired().catch(() => false), within * 1_000)
    const seconds = (performance.now() - startedAt) / 1_000
    if (!repaired) await describeLeft(stage, report)
    victim.process.thaw()
    await restore(stage)
    // A process that hung continues its step now. This step must not undo the repair.
    const stays = !repaired || way !== 'hang' || (await until(() => isRepaired().catch(() => false), 5_000))
    report.result(
      `${name}: ${told()}${repaired ? `repaired after ${seconds.toFixed(1)} s` : 'not repaired'} (at most ${within} s)${stays ? '' : ', but not for long'}`,
      repaired && stays,
    )
  } catch (error) {
    report.result(`${name}: ${told()}${error}`, false)
    victim.process.thaw()
    await restore(stage)
  } finally {
    await client.end()
  }
}

/** More parallel requests than an instance has connections to the database, so that every connection is tested. */
const REQUESTS = 16

/** Waits until both instances can read on every connection and are told the ends of their runs again. */
async function restore({ cluster, victim }: Stage): Promise<void> {
  await cluster.mend()
  if (victim.process.pid === undefined) await victim.process.start()
  const works = async (instance: Instance) => {
    const { body } = await start(instance, { message: 'hello' })
    const { body: run } = await request(instance, 'GET', `/api/agent/chat/${body.runId}?wait=10`)
    return run.status === 'completed'
  }
  const reads = async (instance: Instance) => {
    const list = async () => (await request(instance, 'GET', '/api/agent/chat')).status === 200
    return (await Promise.all(Array.from({ length: REQUESTS }, list))).every(Boolean)
  }
  for (const instance of cluster.instances) {
    await until(() => reads(instance).catch(() => false), 60_000)
    await until(() => works(instance).catch(() => false), 60_000)
  }
}

async function describeLeft({ client }: Stage, report: Report): Promise<void> {
  const { rows } = await client.query(
    `select turns.id, state, turns.check_at - now() as resolved_in, runs.run_id, status, runs.check_at - now() as due_in,
       runs.cancel_requested_at, missed_at, error_code
     from turns left join runs on runs.turn_id = turns.id
     where state <> 'started' or status in ('queued', 'running')`,
  )
  for (const row of rows) report.note(`left: ${JSON.stringify(row)}`)
  const { rows: search } = await client.query(
    'select extract(epoch from now() - adoption_claimed_at)::float as ago from service_identity',
  )
  report.note(`the last search for runs without a row was ${search[0]?.ago?.toFixed(0)} s ago`)
}

/** Checks after all deaths that no run is unfinished and that no turn has run twice. */
async function checkRest(cluster: Cluster, report: Report): Promise<void> {
  const client = await cluster.connect()
  try {
    const unfinished = async () => {
      const { rows } = await client.query(
        `select from turns left join runs on runs.turn_id = turns.id
         where state = 'dispatching' or status in ('queued', 'running')`,
      )
      return rows.length
    }
    const before = await unfinished()
    const ended = await until(async () => (await unfinished()) === 0, 65_000)
    report.result(`no run stays unfinished (${before} were at the end)`, ended)
    let violations: string[] = []
    const isWell = async () => {
      const { rows } = await client.query<Ended>('select run_id, status, error_code from runs')
      violations = []
      checkEngine(await engineRuns(cluster), rows, (rule, what) => violations.push(`${rule}: ${what}`))
      return violations.length === 0
    }
    // A start that `restore` sent to an instance before its database was back has a run that still needs its row.
    await until(isWell, 65_000)
    for (const violation of violations) report.note(`violated: ${violation}${await said(cluster, violation)}`)
    report.result('the engine has run every start once', violations.length === 0)
  } finally {
    await client.end()
  }
}

/** The message of the run that a violation names. */
async function said({ engine }: Cluster, violation: string): Promise<string> {
  const [runId] = /run_[0-9a-z]+/.exec(violation) ?? []
  if (runId === undefined) return ''
  const { payload } = await callEngine(engine, 'GET', `/api/v3/runs/${runId}`)
  return ` (${JSON.stringify(payload?.json?.message ?? payload?.message ?? payload).slice(0, 300)})`
}
