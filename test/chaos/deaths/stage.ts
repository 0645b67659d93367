import { setTimeout as sleep } from 'node:timers/promises'
import type pg from 'pg'
import { type Answer, type Cluster, type Instance, request } from '../cluster.ts'

/** A crash is SIGKILL. A hang is SIGSTOP: the process stands still for a while and then goes on where it was. */
export type Way = 'crash' | 'hang'

export interface Stage {
  cluster: Cluster
  way: Way | undefined
  /** The instance that dies or hangs, or whose network is broken. */
  victim: Instance
  /** The other instance, which repairs the damage and answers the test. */
  witness: Instance
  client: pg.Client
  /** Lets the victim crash, or hang until all is repaired. */
  strike(): Promise<void>
  /** Adds a measured value to the report of this death. */
  note(line: string): void
}

export interface Death {
  name: string
  /** Each way is a row of the table; in the name of a hang, "hangs" stands for "dies". Absent: `happen` ignores the way. */
  ways?: Way[]
  /** Seconds within which it must be repaired. */
  within: number
  /** Does the damage. @returns a function that tells whether the damage is repaired */
  happen(stage: Stage): Promise<() => Promise<boolean>>
}

/** A statement that writes a row of this table for which the condition holds. */
export interface Write {
  table: 'turns' | 'runs'
  condition: string
}

/** A statement of the victim waits behind this advisory lock, which the test holds. */
const GATE = 4711
/** Time to wait for the end of a statement. The server ends a statement after 4 s. */
const STATEMENT_MS = 8_000

export const STORY = 'Tell a story with 60 sentences.'
export const LONG_STORY = 'Tell a story with 300 sentences.'

export const start = (instance: Instance, body: object, key?: string): Promise<Answer> =>
  request(instance, 'POST', '/api/agent/chat', { body, ...(key === undefined ? {} : { key }) })

export const statusOf = async ({ witness }: Stage, runId: string): Promise<string> =>
  (await request(witness, 'GET', `/api/agent/chat/${runId}`)).body.status

export async function until(condition: () => Promise<boolean>, ms: number): Promise<boolean> {
  for (const end = Date.now() + ms; Date.now() < end; await sleep(50)) if (await condition()) return true
  return false
}

/** Waits for the answer. Throws when the status is not the expected one, or when the answer comes too late. */
export async function answered(
  { note }: Stage,
  expected: { status: number; within: number },
  act: () => Promise<Answer>,
): Promise<Answer> {
  const startedAt = performance.now()
  const answer = await act()
  const seconds = (performance.now() - startedAt) / 1_000
  note(`${answer.status} after ${seconds.toFixed(1)} s`)
  if (answer.status !== expected.status) throw new Error(`answered ${answer.status} ${answer.body.code}`)
  if (seconds > expected.within) throw new Error(`answered after ${seconds} s`)
  return answer
}

/** Whether the database has neither the message nor its turn. */
export async function nothingLeft({ client }: Stage, message: string): Promise<boolean> {
  const { rows } = await client.query(
    `select (select count(*) from messages where text = $1) + (select count(*) from turns
       where input->'message'->>'text' = $1) as n`,
    [message],
  )
  return Number(rows[0].n) === 0
}

/** Whether the message was stored once and is answered. */
export async function answeredOnce({ client }: Stage, message: string): Promise<boolean> {
  const { rows } = await client.query(
    `select runs.status from messages join runs on runs.turn_id = messages.turn_id where role = 'user' and text = $1`,
    [message],
  )
  return rows.length === 1 && rows[0].status === 'completed'
}

/** Starts a turn at the victim, waits until the turn is stored, and strikes before the turn reaches the engine. */
export async function strikeUndispatched(
  stage: Stage,
  body: { message: string },
  key?: string,
): Promise<void> {
  const { victim } = stage
  victim.engine.toxics.hang = true
  start(victim, body, key).catch(() => {}) // The connection is reset, or the answer comes after the test has stopped listening.
  if (!(await until(async () => !(await nothingLeft(stage, body.message)), 10_000)))
    throw new Error('the turn was not stored')
  await stage.strike()
  await victim.engine.mend()
}

/** Holds back the statement of `act` that writes such a row, and strikes meanwhile. The statement is never carried out. */
export async function strikeWithin(stage: Stage, when: Write, act: () => Promise<unknown>): Promise<void> {
  await waitAtGate(stage, when, act, async (acting) => {
    await stage.strike()
    if (stage.way === 'crash') await acting.catch(() => {}) // The victim's connection is reset.
  })
}

/** Holds back the statement of `act` that writes such a row until the server ends it. Other statements go on. */
export async function hangWithin<T>(stage: Stage, when: Write, act: () => Promise<T>): Promise<T> {
  const { promise, resolve } = Promise.withResolvers<Promise<T>>()
  promise.catch(() => {}) // It is awaited below.
  await waitAtGate(stage, when, act, async (acting) => resolve(acting))
  return promise
}

async function waitAtGate<T>(
  { client, cluster, way }: Stage,
  when: Write,
  act: () => Promise<T>,
  meanwhile: (acting: Promise<T>) => Promise<void>,
): Promise<void> {
  const holder = await cluster.connect()
  const waiting = `locktype = 'advisory' and objid = ${GATE} and not granted`
  const waits = async () => (await client.query(`select from pg_locks where ${waiting}`)).rows.length > 0
  await onWrite(client, when, `perform pg_advisory_xact_lock(${GATE});`)
  try {
    await holder.query(`select pg_advisory_lock(${GATE})`)
    const acting = act()
    acting.catch(() => {}) // The caller of this function awaits it.
    if (!(await until(waits, 20_000))) throw new Error(`no statement with ${when.condition}`)
    await meanwhile(acting)
    if (way === 'crash') await client.query(`select pg_terminate_backend(pid) from pg_locks where ${waiting}`)
    await until(async () => !(await waits()), STATEMENT_MS)
  } finally {
    await openGate(client)
    await holder.end()
  }
}

/** Lets the statement of `act` that writes such a row fail, at least once unless `noNeed` holds. Then removes the trigger. */
export async function refuseWithin<T>(
  { client }: Stage,
  when: Write,
  act: () => Promise<T>,
  noNeed = async (_: T) => false,
): Promise<T> {
  await client.query('create sequence if not exists refusals')
  await client.query('alter sequence refusals restart')
  // A sequence also counts statements that were rolled back.
  await onWrite(client, when, `perform nextval('refusals'); raise exception 'refused by a test';`)
  try {
    const result = await act()
    const refused = async () => (await client.query('select is_called from refusals')).rows[0].is_called
    if (!(await until(async () => (await refused()) || (await noNeed(result)), 20_000)))
      throw new Error(`no statement with ${when.condition}`)
    return result
  } finally {
    await openGate(client)
  }
}

async function onWrite(client: pg.Client, when: Write, statement: string): Promise<void> {
  await client.query(
    `create or replace function gate() returns trigger language plpgsql as $$ begin ${statement} return new; end $$`,
  )
  await client.query(
    `create trigger gate before insert or update on ${when.table} for each row when (${when.condition}) execute function gate()`,
  )
}

const openGate = (client: pg.Client) =>
  client.query('drop trigger if exists gate on runs; drop trigger if exists gate on turns')
