import pg from 'pg'
import { fill } from '../../test/plans/fill.ts'
import { casesOf } from './cases.ts'
import type { Server } from './child.ts'
import { type Round, ratio, ratioText, spread } from './figures.ts'
import { round } from './load.ts'
import { endRuns, type Rows, writeRows } from './rows.ts'

/** The cases that must cost the same for every size of the database. */
const FLAT = [
  'poll, small answer',
  'poll, unfinished',
  'list of runs',
  'page of messages',
  'start',
  'next turn after fifty',
]
/** Number of messages that `fill` makes for a conversation. */
const MESSAGES = 10

export interface Growth {
  /** The number of messages as a person writes it: `10M`, `200k`. There are half as many runs. */
  rows: string
  /** The database of the other cases. It has no rows but theirs. */
  empty: { url: string; rows: Rows; service: Server }
  /** Starts a service on another database. */
  serve(databaseUrl: string): Promise<Server>
  token: string
  rounds: number
  seconds: number
}

/** Measures the hot paths on a database with very many rows and on a nearly empty one. */
export async function growth({ rows, empty, serve, token, rounds, seconds }: Growth) {
  const full = new URL(empty.url)
  full.pathname += '_full'
  await createFull(empty.url, full.href, { messages: count(rows) })
  const fullRows = await writeRows(full.href)
  const sides = [
    { ...empty, cases: casesOf(empty.rows, token, '') },
    { url: full.href, service: await serve(full.href), cases: casesOf(fullRows, token, '') },
  ]
  const table = []
  for (const name of FLAT) {
    const measured: Round[][] = [[], []]
    for (let n = -1; n < rounds; n++) {
      for (const at of n % 2 ? [1, 0] : [0, 1]) {
        const { url, service, cases } = sides[at] as (typeof sides)[number]
        const found = cases.find((one) => one.name === name)
        if (found === undefined) throw new Error(`There is no case ${name}.`)
        if (found.isEnded) await endRuns(url)
        const result = await round(service, found.load, n < 0 ? 1 : seconds)
        if (n >= 0) measured[at]?.push(result) // The first round warms the servers up and is not counted.
      }
    }
    const figures = (at: number, of: keyof Round) => (measured[at] ?? []).map((one) => one[of])
    const beside = (of: keyof Round) => ratioText(ratio(figures(1, of), figures(0, of)))
    table.push({
      case: name,
      'p50 empty': spread(figures(0, 'p50')).median,
      [`p50 ${rows}`]: spread(figures(1, 'p50')).median,
      'p50 × empty': beside('p50'),
      'rate × empty': beside('rate'),
      'CPU × empty': beside('cpu'),
    })
  }
  return table
}

/** Makes a second database and fills it. */
async function createFull(empty: string, full: string, { messages }: { messages: number }): Promise<void> {
  const admin = new pg.Client({ connectionString: empty })
  await admin.connect()
  await admin.query(`create database ${new URL(full).pathname.slice(1)}`)
  await admin.end()
  const { migrate } = await import('../../src/stores/migrations.ts')
  await migrate(full)
  const client = new pg.Client({ connectionString: full })
  await client.connect()
  const note = (line: string) => console.error(`filling: ${line}`)
  await fill(client, { conversations: Math.ceil(messages / MESSAGES), longTurns: 1_000 }, note)
  await client.end()
}

function count(rows: string): number {
  const [, number, unit = ''] = /^(\d+)([kM]?)$/.exec(rows) ?? []
  if (number === undefined) throw new Error('--rows is a number such as 10M or 200k.')
  return Number(number) * ({ k: 1e3, M: 1e6 }[unit] ?? 1)
}
