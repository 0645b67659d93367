import { randomUUID } from 'node:crypto'
import type pg from 'pg'
import { actionStore } from '../../../src/stores/actions.ts'
import type { Database } from '../../../src/stores/database.ts'
import { HEAVY_USER } from '../fill.ts'
import { BATCH, type Case, NEXT_TURN, PAGE, QUICK, ROW } from '../sample.ts'
import { LIMITS } from './starts.ts'

/** An answer and a cancel also start the turn anew, or deny the other calls of it. */
const DECISION = 3 * ROW

export async function actions(database: Database, client: pg.Client): Promise<Case[]> {
  const store = actionStore(database, LIMITS)
  const { rows: pending } = await client.query(
    `select id as "actionId", run_id as "runId", conversation_id as "conversationId" from actions
     where user_id = $1 and status = 'pending' and expires_at > now() order by id desc limit 40`,
    [HEAVY_USER],
  )
  const [first] = pending
  const answer = {
    agents: ['default', 'support'],
    userId: HEAVY_USER,
    actor: null,
    approver: false,
    requestId: 'r',
    status: 'approved' as const,
  }
  const lists: Case[] = [HEAVY_USER, 'user7', null].flatMap((user) =>
    [{}, { before: first.actionId }].map((filter) => ({
      name: `actions that wait for ${user ?? 'all users'}: ${JSON.stringify(filter)}`,
      buffers: QUICK,
      work: () => store.listPending(user, { limit: PAGE, ...filter }),
    })),
  )
  return [
    ...lists,
    {
      name: 'actions that a page names',
      buffers: QUICK,
      work: () =>
        store.named(HEAVY_USER, first.conversationId, {
          messageId: undefined,
          actionIds: [first.actionId],
          toolCallIds: ['call'],
        }),
    },
    {
      name: 'answer an action',
      buffers: DECISION,
      work: (round) => store.answer({ ...answer, ...pending[round] }),
    },
    {
      name: 'answer an action, unknown',
      buffers: QUICK,
      work: () => store.answer({ ...answer, actionId: randomUUID(), runId: first.runId }),
    },
    {
      name: 'read a continuation',
      buffers: NEXT_TURN,
      work: async (round) => {
        const { rows } = await client.query('select turn_id from actions where id = $1', [
          pending[round].actionId,
        ])
        const [{ turn_id }] = rows
        const { rows: next } = await client.query('select continued_by from turns where id = $1', [turn_id])
        return store.continuation(next[0].continued_by)
      },
    },
    {
      name: 'deny what a run waits for',
      buffers: DECISION,
      work: (round) => store.cancel(HEAVY_USER, pending[20 + round].runId),
    },
    { name: `expire ${BATCH} actions`, buffers: BATCH * DECISION, work: () => store.expire(BATCH) },
  ]
}
