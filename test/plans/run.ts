// npm run test:plans: the plan of every statement of the stores, on five million runs. PLANS_SCALE=0.01 is quick.
// PLANS_DATABASE_URL names a database to fill, or one that was filled before; its user is a superuser.
// PLANS_ONLY=pattern shows the plans of the calls with such names.
// The last line is "N passed, N failed".
import pg from 'pg'
import { conversationStore } from '../../src/stores/conversations.ts'
import { housekeepingStore } from '../../src/stores/housekeeping.ts'
import { messageStore } from '../../src/stores/messages.ts'
import { migrate } from '../../src/stores/migrations.ts'
import { startTestDatabase } from '../support/test-database.ts'
import { casesOf } from './cases.ts'
import {
  buffersOf,
  describe,
  type Executed,
  type ExplainedDatabase,
  explainedDatabase,
  nodesOf,
} from './explained.ts'
import { fill, LONG_CONVERSATION } from './fill.ts'
import type { Case } from './sample.ts'

const ONLY = process.env.PLANS_ONLY === undefined ? undefined : new RegExp(process.env.PLANS_ONLY)
const SCALE = Number(process.env.PLANS_SCALE ?? 1)
const BIG = new Set([
  'conversations',
  'turns',
  'runs',
  'messages',
  'superseded_messages',
  'run_labels',
  'webhook_deliveries',
  'feed_events',
  'actions',
])
/** A prepared statement, and one of a function, gets a plan for all values after five times. */
const ROUNDS = 8
/** More rows than this are sorted by no statement: what is sorted is a page, a batch or what one search looks through. */
const SORTED = 2_100

const tally = { passed: 0, failed: 0 }
const result = (isWell: boolean, line: string): void => {
  tally[isWell ? 'passed' : 'failed'] += 1
  console.log(`${isWell ? 'ok    ' : 'not ok'} ${line}`)
}

function faultsOf({ statement, plan }: Executed): string[] {
  const short = statement.replaceAll(/\s+/g, ' ').slice(0, 120)
  return nodesOf(plan).flatMap((node) => {
    const rows = node['Actual Rows'] * node['Actual Loops']
    if (node['Node Type'] === 'Seq Scan' && BIG.has(node['Relation Name'] ?? ''))
      return [`scans ${node['Relation Name']}: ${short}`]
    return node['Node Type'].includes('Sort') && rows > SORTED ? [`sorts ${rows} rows: ${short}`] : []
  })
}

async function judge(database: ExplainedDatabase, { name, buffers, work }: Case): Promise<void> {
  if (ONLY?.test(name) === false) return
  const faults = new Set<string>()
  let read = 0
  let last: Executed[] = []
  try {
    for (let round = 0; round < ROUNDS; round++) {
      database.executed()
      await work(round)
      const executed = database.executed()
      last = executed
      for (const one of executed) for (const fault of faultsOf(one)) faults.add(fault)
      const outer = executed.at(-1)
      // The first rounds read the catalogue as well.
      if (outer !== undefined) read = buffersOf(outer.plan)
    }
  } catch (error) {
    faults.add(String(error))
  }
  if (read > buffers) faults.add(`reads more than ${buffers} buffers`)
  result(faults.size === 0, `${String(read).padStart(6)} buffers  ${name}`)
  for (const fault of faults) console.log(`         ${fault}`)
  if (ONLY === undefined) return
  for (const { statement, plan } of last)
    console.log([`  ${statement.replaceAll(/\s+/g, ' ').slice(0, 150)}`, ...describe(plan, 2)].join('\n'))
}

/** A conversation of 200,000 turns is deleted in one short statement, and emptied by many. */
async function judgeLongDeletion(database: ExplainedDatabase): Promise<void> {
  const { client } = database
  await client.query('set auto_explain.log_min_duration = -1')
  const since = performance.now()
  await conversationStore(database).remove('patient', LONG_CONVERSATION)
  const removedMs = Math.round(performance.now() - since)
  result(
    removedMs < 4_000,
    `a conversation of very many turns is deleted in ${removedMs} ms, less than a statement may take`,
  )
  const left = async () =>
    (await client.query(`select from messages where conversation_id = $1 limit 1`, [LONG_CONVERSATION]))
      .rowCount
  const hidden = await messageStore(database).list('patient', LONG_CONVERSATION, {
    limit: 1,
    order: 'asc',
  })
  result(
    hidden === undefined && (await left()) === 1,
    'nothing shows it any more, though most of it is still there',
  )
  let slowestMs = 0
  let batches = 0
  for (let more = true; more; batches++) {
    const began = performance.now()
    more = await housekeepingStore(database).emptyDeleted(500)
    slowestMs = Math.max(slowestMs, performance.now() - began)
  }
  const seconds = ((performance.now() - since) / 1_000).toFixed(0)
  result(
    slowestMs < 4_000,
    `its contents went in ${batches} batches and ${seconds} s; the slowest took ${slowestMs.toFixed(0)} ms`,
  )
  result((await left()) === 0, 'nothing of it is left')
}

async function run(url: string): Promise<void> {
  const admin = new pg.Client({ connectionString: url })
  await admin.connect()
  const { rows } = await admin.query(`select to_regclass('placed') is not null as filled`)
  const scale = {
    conversations: Math.round(1_000_000 * SCALE),
    longTurns: Math.max(2_000, Math.round(200_000 * Math.min(1, SCALE * 10))),
  }
  if (!rows[0].filled) await fill(admin, scale, (line) => console.log(`       ${line}`))
  await admin.end()
  const database = await explainedDatabase(url)
  const { rows: sizes } = await database.client.query(
    `select relname as name, reltuples::int as rows from pg_class where relname = any($1) order by 1`,
    [[...BIG]],
  )
  console.log(`       ${sizes.map(({ name, rows }) => `${rows} ${name}`).join(', ')}`)
  database.executed()
  for (const one of await casesOf(database)) await judge(database, one)
  if (ONLY === undefined) await judgeLongDeletion(database)
  await database.close()
}

const given = process.env.PLANS_DATABASE_URL
if (given !== undefined) {
  await migrate(given)
  await run(given)
} else {
  const server = await startTestDatabase(undefined)
  const url = new URL(server.environment.TEST_DATABASE_SERVER)
  url.pathname = `/${server.environment.TEST_DATABASE_TEMPLATE}`
  await run(url.href).finally(() => server.stop())
}
console.log(`\n${tally.passed} passed, ${tally.failed} failed`)
process.exit(tally.failed === 0 && tally.passed > 0 ? 0 : 1)
