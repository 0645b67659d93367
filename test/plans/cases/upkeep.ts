import { randomUUID } from 'node:crypto'
import type pg from 'pg'
import { conversationStore } from '../../../src/stores/conversations.ts'
import type { Database } from '../../../src/stores/database.ts'
import { housekeepingStore } from '../../../src/stores/housekeeping.ts'
import { runEndStore } from '../../../src/stores/run-ends.ts'
import { runStore } from '../../../src/stores/runs.ts'
import { sweepStore } from '../../../src/stores/sweeps.ts'
import { HEAVY_USER } from '../fill.ts'
import { BATCH, type Case, QUICK, ROW } from '../sample.ts'

export function ends(database: Database, running: string[]): Case[] {
  const store = runEndStore(database, { executionSeconds: 420 })
  const runs = runStore(database)
  const sweeps = sweepStore(database)
  const end = (runId: string) =>
    store.finalize({
      runId,
      status: 'completed',
      output: { id: randomUUID(), role: 'assistant', parts: [{ type: 'text', text: 'an answer' }] },
      text: 'an answer',
      usage: { inputTokens: 1, outputTokens: 1, totalTokens: 2 },
      facts: { finishReason: 'stop' },
      errorCode: null,
      error: null,
      frameCount: 3,
      truncated: false,
      createdAt: null,
      startedAt: new Date(),
      finishedAt: new Date(),
    })
  const at = (round: number) => running[100 + round] as string
  return [
    { name: 'requestCancel', buffers: ROW, work: (round) => runs.requestCancel(HEAVY_USER, at(20 + round)) },
    {
      name: 'markRunning, of a running one',
      buffers: ROW,
      work: (round) => store.markRunning(at(round), null),
    },
    { name: 'finalize', buffers: 2 * ROW, work: (round) => end(at(round)) },
    { name: 'finalize, once more', buffers: ROW, work: () => end(at(0)) },
    { name: 'checkIn', buffers: ROW, work: (round) => sweeps.checkIn(at(40 + round), 60) },
    { name: 'noteMissed', buffers: ROW, work: (round) => sweeps.noteMissed(at(40 + round)) },
    { name: 'noteFound', buffers: ROW, work: (round) => sweeps.noteFound(at(40 + round)) },
    { name: 'noteStopped', buffers: ROW, work: () => sweeps.noteStopped(at(0)) },
    { name: 'release 20', buffers: 20 * ROW, work: () => sweeps.release(running.slice(140, 160)) },
  ]
}

export function upkeep(database: Database, client: pg.Client): Case[] {
  const sweeps = sweepStore(database)
  const housekeeping = housekeepingStore(database)
  const makeDue = (table: string, what: string) =>
    client.query(
      `update ${table} set check_at = now() where id in (select id from ${table} where ${what} limit ${BATCH})`,
    )
  return [
    {
      name: `claim ${BATCH} turns`,
      buffers: BATCH * ROW,
      async work() {
        await makeDue('turns', `check_at > now()`)
        return sweeps.claimTurns(BATCH)
      },
    },
    {
      name: `claim ${BATCH} runs`,
      buffers: 2 * BATCH * ROW,
      async work() {
        await makeDue('runs', `check_at > now()`)
        return sweeps.claimRuns(BATCH)
      },
    },
    {
      name: 'claim runs, overdue only',
      buffers: BATCH * ROW,
      work: () => sweeps.claimRuns(BATCH, { overdueOnly: true }),
    },
    { name: 'lag', buffers: 10_000, work: () => sweeps.lag() },
    { name: 'claimSearch', buffers: QUICK, work: () => housekeeping.claimSearch(0, true) },
    { name: 'noteSearched', buffers: QUICK, work: () => housekeeping.noteSearched(new Date()) },
    {
      name: 'unknown runs of 100',
      buffers: 6 * BATCH,
      work: () => housekeeping.unknownRuns(Array.from({ length: BATCH }, (_, n) => `run_unknown${n}`)),
    },
    { name: 'identity', buffers: QUICK, work: () => housekeeping.identity(randomUUID()) },
    {
      name: 'expire 500 runs',
      buffers: 500 * 2 * ROW,
      work: () => housekeeping.expireRuns(10, 500),
    },
    { name: 'expire runs, none due', buffers: QUICK, work: () => housekeeping.expireRuns(3_650, BATCH) },
    {
      name: 'expire 20 conversations',
      buffers: 20 * 20 * ROW,
      work: () => housekeeping.expireConversations(10, 20, 500),
    },
    {
      name: 'expire conversations, none due',
      buffers: QUICK,
      work: () => housekeeping.expireConversations(3_650, 20, 500),
    },
    { name: 'empty a deleted conversation', buffers: QUICK, work: () => housekeeping.emptyDeleted(500) },
  ]
}

export async function deletions(database: Database, client: pg.Client): Promise<Case[]> {
  const conversations = conversationStore(database)
  const { rows } = await client.query(
    `select id, user_id as "userId" from conversations where user_id <> $1 and next_position > 5 limit 20`,
    [HEAVY_USER],
  )
  return [
    {
      name: 'delete a conversation of five turns',
      buffers: 20 * ROW,
      work: (round) => conversations.remove(rows[round].userId, rows[round].id),
    },
  ]
}
