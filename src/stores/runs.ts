import type { TurnMessage, TurnUsage } from '../agent/turn.ts'
import type { PublicStatus } from '../engine/run-status.ts'
import type { PendingAction } from './actions.ts'
import type { Database } from './database.ts'
import { listRuns, type RunFilter, type RunListPage } from './run-list.ts'
import type { Metadata, RunFacts, TurnInput } from './schema.ts'
import { sharedReads } from './shared-reads.ts'

/** One run as its user may see it. */
export interface RunRecord {
  /** The id of the row. Lists are ordered by it. */
  id: string
  turnId: string
  /** The engine's id. */
  runId: string
  status: PublicStatus
  conversationId: string | null
  /** The name of the agent that answers. */
  agent: string
  /** The chain of actors who called for the user, nearest first; null when the user called. */
  actor: string | null
  /** The user's message; read for completed runs only. */
  message: TurnInput['message'] | null
  output: TurnMessage | null
  errorCode: string | null
  error: string | null
  usage: TurnUsage | null
  facts: RunFacts | null
  metadata: Metadata
  frameCount: number | null
  truncated: boolean
  /** The engine's ids of the run that this run repeats, and of the run that has replaced this run. */
  retryOf: string | null
  supersededBy: string | null
  /** The engine's ids of the run that this run continues, and of the run that continues this run. */
  continues: string | null
  continuedBy: string | null
  /** The actions for which the turn of the run waits; null when it waits for none. */
  pendingActions: PendingAction[] | null
  cancelRequestedAt: Date | null
  createdAt: Date
  startedAt: Date | null
  finishedAt: Date | null
  /** Runs of the conversation in front of a queued one, oldest first; null otherwise. */
  ahead: string[] | null
}

export type RunSummaryRecord = Omit<
  RunRecord,
  'turnId' | 'message' | 'output' | 'frameCount' | 'truncated' | 'ahead'
>

/** The fields of a run that may change while it is unfinished. */
export type RunState = Pick<RunRecord, 'status' | 'cancelRequestedAt' | 'ahead'>

/** The fields of a run's row that viewers of its stream need. */
export interface RunProgress extends RunState {
  turnId: string
  /** Number of records in the stream once the run has ended; null when they could not be counted. */
  frameCount: number | null
  error: string | null
}

/** The actions for which the turn of a run waits. The subquery is not executed for other runs. */
export const PENDING = `case when facts->>'finishReason' = 'action_required' and continued_by is null then (
    select jsonb_agg(jsonb_strip_nulls(jsonb_build_object('actionId', id, 'toolCallId', tool_call_id, 'toolName', tool_name,
      'kind', kind, 'message', message, 'createdAt', to_jsonb(created_at), 'expiresAt', to_jsonb(expires_at)))
      || jsonb_build_object('args', args) order by place)
    from actions where actions.turn_id = runs.turn_id and actions.status = 'pending' and actions.expires_at > now())
  end`

export const SUMMARY = `id, run_id as "runId", status, conversation_id as "conversationId", agent, actor, error_code as "errorCode",
  error, usage, facts, metadata, retry_of as "retryOf", superseded_by as "supersededBy", continues, continued_by as "continuedBy",
  ${PENDING} as "pendingActions", cancel_requested_at as "cancelRequestedAt", created_at as "createdAt",
  started_at as "startedAt", finished_at as "finishedAt"`

/** A run of a deleted conversation is hidden at once, though its row may be emptied later. */
export const VISIBLE = `deleted_at is null
  and not exists (select from deletions where deletions.conversation_id = runs.conversation_id)`

/** Ids of the unfinished runs ahead of a queued run. It uses the indexes of unfinished runs and turns. */
const AHEAD = `case when status = 'queued' and conversation_id is not null then (
    select coalesce(array_agg(coalesce(unfinished.run_id, '') order by unfinished.position), '{}') from (
      select a.run_id, a.position from runs a
      where a.conversation_id = runs.conversation_id and a.position < runs.position and a.status in ('queued', 'running')
      union all
      select null, t.position from turns t
      where t.conversation_id = runs.conversation_id and t.position < runs.position and t.state = 'dispatching'
    ) unfinished) end as ahead`

/** Reads one row by a unique key for each poll. With `known`, the contents of an ended run are left out. */
const POLLS = `
  select run.* from unnest($1::text[], $2::text[], $3::boolean[]) with ordinality as poll(run, owner, known, at)
  cross join lateral (
    select poll.at::integer, ${SUMMARY}, turn_id as "turnId", case when not known then output end as output,
      frame_count as "frameCount", truncated, ${AHEAD}, case when status = 'completed' and not known then
        (select input->'message' from turns where turns.id = runs.turn_id) end as message
    from runs where run_id = poll.run and user_id = poll.owner and ${VISIBLE} limit 1) run`

interface PollKey {
  userId: string
  runId: string
  /** Whether the caller has the contents of the run already, if it has ended. */
  known: boolean
}

/**
 * Reads of runs. Every query for a caller names the user, so the run of another user is not found, and the service answers
 * 404 as for an unknown run.
 */
export function runStore(database: Database) {
  const read = sharedReads(async (polls: PollKey[]) => {
    const rows = await database.named<RunRecord & { at: number }>('polls', POLLS, [
      polls.map(({ runId }) => runId),
      polls.map(({ userId }) => userId),
      polls.map(({ known }) => known),
    ])
    const found = new Array<RunRecord | undefined>(polls.length)
    for (const { at, ...run } of rows) found[at - 1] = run
    return found
  })

  return {
    /** @param hasContents leaves out the answer and the question of an ended run */
    find: (userId: string, runId: string, hasContents = false): Promise<RunRecord | undefined> =>
      read({ userId, runId, known: hasContents }),

    /** The states of many runs, for all waits of this instance. The user was checked when each wait began. */
    async states(runIds: string[]): Promise<Array<RunState & { runId: string }>> {
      return database.named(
        'states',
        `select run_id as "runId", status, cancel_requested_at as "cancelRequestedAt", ${AHEAD}
        from runs where run_id = any($1)`,
        [runIds],
      )
    },

    /** The answer of the earlier runs of a run's chain; undefined when the run continues no other run. */
    async answerBefore(runId: string): Promise<TurnMessage | undefined> {
      const [row] = await database.named<{ message: TurnMessage | null }>(
        'answer_before',
        `select coalesce(
           (select jsonb_build_object('id', id, 'role', role, 'parts', parts) from messages
            where conversation_id = before.conversation_id and position = before.position and seq = 1), before.output) as message
         from runs join runs before on before.run_id = runs.continues where runs.run_id = $1`,
        [runId],
      )
      return row?.message ?? undefined
    },

    /** The fields that the viewers of a run's stream need. The user was checked when each viewer connected. */
    async progress(runId: string): Promise<RunProgress | undefined> {
      const [row] = await database.named<RunProgress>(
        'progress',
        `select turn_id as "turnId", status, cancel_requested_at as "cancelRequestedAt", frame_count as "frameCount",
           error, ${AHEAD}
         from runs where run_id = $1`,
        [runId],
      )
      return row
    },

    /** The newest unfinished run of a conversation; undefined when there is none (or no such conversation). */
    async newestUnfinished(userId: string, conversationId: string): Promise<string | undefined> {
      const [row] = await database.named<{ runId: string }>(
        'newest_unfinished',
        `select run_id as "runId" from runs
         where conversation_id = $1 and user_id = $2 and status in ('queued', 'running')
         order by position desc nulls last limit 1`,
        [conversationId, userId],
      )
      return row?.runId
    },

    list: (userId: string, filter: RunFilter): Promise<RunListPage> => listRuns(database, userId, filter),

    /**
     * Stores the wish to cancel. If this process dies afterwards, the sweeper cancels the run.
     * @returns the turn when its run is unfinished
     */
    async requestCancel(userId: string, runId: string): Promise<{ turnId: string } | undefined> {
      const [row] = await database.named<{ turnId: string }>(
        'request_cancel',
        `update runs set cancel_requested_at = coalesce(cancel_requested_at, now()),
           check_at = least(check_at, now() + interval '5 seconds')
         where run_id = $1 and user_id = $2 and status in ('queued', 'running') and ${VISIBLE}
         returning turn_id as "turnId"`,
        [runId, userId],
      )
      return row
    },
  }
}

export type RunStore = ReturnType<typeof runStore>
