import { sql } from 'kysely'
import type { ActionKind, Continuation } from '../agent/turn.ts'
import type { AskedBeside } from '../services/start/dispatcher.ts'
import type { Database } from './database.ts'
import type { TurnInput, TurnState } from './schema.ts'
import type { TurnContext, TurnLimits } from './turns.ts'

export type ActionStatus = 'pending' | 'approved' | 'denied' | 'answered' | 'expired'

/** A pending action as runs and lists show it. */
export interface PendingAction {
  actionId: string
  toolCallId: string
  toolName: string
  args: unknown
  kind: ActionKind
  message?: string
  createdAt: string
  expiresAt: string
}

/** A pending action in the list of all actions. */
export interface ActionRecord extends Omit<PendingAction, 'createdAt' | 'expiresAt' | 'message'> {
  message: string | null
  createdAt: Date
  expiresAt: Date
  runId: string
  conversationId: string | null
  userId: string
}

/** An answer to an action, and the caller who gives it. */
export interface ActionAnswer {
  actionId: string
  runId: string
  userId: string
  actor: string | null
  /** Whether the caller may answer for other users. */
  approver: boolean
  /** The agents that the caller may use. */
  agents: string[]
  requestId: string
  status: Exclude<ActionStatus, 'pending' | 'expired'>
  reason?: string
  output?: unknown
  error?: string
}

/** The outcome of an answer; see `sql/decide_action.sql`. */
export type AnswerOutcome =
  | { outcome: 'not_found' }
  | { outcome: 'wrong_kind'; kind: ActionKind }
  | { outcome: 'agent_refused'; agent: string }
  | {
      outcome: 'recorded' | 'known' | 'decided'
      status: Exclude<ActionStatus, 'pending'>
      pending: number
      decidedAt: string
      decidedBy?: string
      /** The continuation that this answer has started. */
      turnId?: string
      /** The run of the continuation. */
      continuedBy?: string
    }

/** A continuation that is to be dispatched. */
export interface StoredContinuation extends TurnContext {
  turnId: string
  userId: string
  conversationId: string | null
  position: number | null
  agent: string
  state: TurnState
  runId: string | null
  input: TurnInput & { asked: AskedBeside | null }
  cancelRequested: boolean
  createdAt: string
  continues: Continuation
}

export interface NamedActions {
  actions: Array<Pick<ActionRecord, 'actionId' | 'runId' | 'toolCallId'>>
  continuation: { runId: string | null } | null
}

const NAMED = `
  with owned as materialized (select id from conversations where id = $2 and user_id = $1 and not hidden),
  named as (
    select id, run_id, tool_call_id from actions
    where conversation_id = (select id from owned) and id = any($3::uuid[]) and kind = 'approval'
    union all
    select id, run_id, tool_call_id from actions where conversation_id = (select id from owned) and status = 'pending'
      and kind = 'tool_result' and tool_call_id = any($4))
  select coalesce((select jsonb_agg(jsonb_build_object('actionId', id, 'runId', run_id, 'toolCallId', tool_call_id) order by id)
      from named), '[]') as actions,
    (select jsonb_build_object('runId', turns.run_id) from messages
       join turns on turns.conversation_id = messages.conversation_id and turns.position = messages.position
     where messages.id = $5 and messages.conversation_id = (select id from owned) and turns.continues is not null)
      as continuation`

const FIELDS = `id as "actionId", run_id as "runId", conversation_id as "conversationId", user_id as "userId",
  tool_call_id as "toolCallId", tool_name as "toolName", args, kind, message, created_at as "createdAt",
  expires_at as "expiresAt"`

/** Actions: tool calls for which turns wait. Every function is one round trip and safe to repeat. */
export function actionStore(
  database: Database,
  limits: Pick<TurnLimits, 'leaseSeconds' | 'maxMessages' | 'maxBytes'>,
) {
  return {
    async answer(answer: ActionAnswer): Promise<AnswerOutcome> {
      const [row] = await database.named<{ outcome: AnswerOutcome }>(
        'decide_action',
        'select decide_action($1::jsonb) as outcome',
        [JSON.stringify({ ...answer, leaseSeconds: limits.leaseSeconds })],
      )
      return row?.outcome ?? { outcome: 'not_found' }
    },

    /** The data with which a continuation is dispatched; undefined when its conversation was deleted. */
    async continuation(turnId: string): Promise<StoredContinuation | undefined> {
      const [row] = await database.named<{ continuation: StoredContinuation | null }>(
        'continuation',
        'select continuation($1, $2, $3) as continuation',
        [turnId, limits.maxMessages, limits.maxBytes],
      )
      return row?.continuation ?? undefined
    },

    /**
     * The actions of a conversation that a chat page names: approvals by the ids of their actions, pending calls of the
     * caller's tools by the ids of the calls. `continuation` is the continuation of the message's turn. Its run is null until
     * it is dispatched.
     */
    async named(
      userId: string,
      conversationId: string,
      names: { messageId: string | undefined; actionIds: string[]; toolCallIds: string[] },
    ): Promise<NamedActions> {
      const [row] = await database.named<NamedActions>('named_actions', NAMED, [
        userId,
        conversationId,
        names.actionIds,
        names.toolCallIds,
        names.messageId ?? null,
      ])
      return row ?? { actions: [], continuation: null }
    },

    /** Denies the pending and approved actions of a run. @returns whether its turn has waited */
    async cancel(userId: string, runId: string): Promise<boolean> {
      const [row] = await database.named<{ waited: boolean }>(
        'cancel_actions',
        'select cancel_actions($1, $2) as waited',
        [userId, runId],
      )
      return row?.waited ?? false
    },

    /** Expires pending actions whose time is over. @returns whether more may be due */
    async expire(limit: number): Promise<boolean> {
      const [row] = await database.named<{ more: boolean }>(
        'expire_actions',
        'select expire_actions($1) as more',
        [limit],
      )
      return row?.more ?? false
    },

    /** The pending actions, newest first. @param userId null stands for all users */
    async listPending(userId: string | null, { limit, before }: { limit: number; before?: string }) {
      const own = userId === null ? sql`` : sql`and user_id = ${userId}`
      // The order names the user, so that Postgres walks the index of the user and not the index of all users.
      const order = userId === null ? sql`id desc` : sql`user_id desc, id desc`
      const older = before === undefined ? sql`` : sql`and id < ${before}::uuid`
      const { rows } = await database.page((db) =>
        sql<ActionRecord>`
          select ${sql.raw(FIELDS)} from actions
          where status = 'pending' and expires_at > now() ${own} ${older}
          order by ${order} limit ${limit}`.execute(db),
      )
      return rows
    },
  }
}

export type ActionStore = ReturnType<typeof actionStore>
