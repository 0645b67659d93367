import type { TurnMessage, TurnUsage } from '../agent/turn.ts'
import type { PublicStatus } from '../engine/run-status.ts'
import type { Database } from './database.ts'
import { listRuns, type RunFilter, type RunListPage } from './run-list.ts'
import type { Metadata, TurnInput } from './schema.ts'

/** One run as its owner may see it. */
export interface RunRecord {
  /** Of the row; lists are ordered by it. */
  id: string
  turnId: string
  /** The engine's id. */
  runId: string
  status: PublicStatus
  conversationId: string | null
  /** The question, where the status makes it part of the answer. */
  message: TurnInput['message'] | null
  output: TurnMessage | null
  errorCode: string | null
  error: string | null
  usage: TurnUsage | null
  metadata: Metadata
  frameCount: number | null
  truncated: boolean
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

/** What of a run may change while it is unfinished. */
export type RunState = Pick<RunRecord, 'status' | 'cancelRequestedAt' | 'ahead'>

/** What a run's row says about its stream. */
export interface RunProgress extends RunState {
  turnId: string
  /** Records that the stream holds, once the run is over; null when they could not be counted. */
  frameCount: number | null
  error: string | null
}

export const SUMMARY = `id, run_id as "runId", status, conversation_id as "conversationId", error_code as "errorCode",
  error, usage, metadata, cancel_requested_at as "cancelRequestedAt", created_at as "createdAt",
  started_at as "startedAt", finished_at as "finishedAt"`

/** A run of a deleted conversation is hidden at once, though its row may be emptied later. */
export const VISIBLE = `deleted_at is null
  and not exists (select from deletions where deletions.conversation_id = runs.conversation_id)`

/** For queued runs only, by the indexes of what a conversation has unfinished. */
const AHEAD = `case when status = 'queued' and conversation_id is not null then (
    select coalesce(array_agg(coalesce(unfinished.run_id, '') order by unfinished.position), '{}') from (
      select a.run_id, a.position from runs a
      where a.conversation_id = runs.conversation_id and a.position < runs.position and a.status in ('queued', 'running')
      union all
      select null, t.position from turns t
      where t.conversation_id = runs.conversation_id and t.position < runs.position and t.state = 'dispatching'
    ) unfinished) end as ahead`

/** A poll is this one read by a unique key. */
const POLL = `
  select ${SUMMARY}, turn_id as "turnId", output, frame_count as "frameCount", truncated, ${AHEAD},
    case when status = 'completed' then (select input->'message' from turns where turns.id = runs.turn_id) end as message
  from runs where run_id = $1 and user_id = $2 and ${VISIBLE}`

/** Reads of runs. The caller's user is part of every query; what is not theirs does not exist. */
export function runStore(database: Database) {
  return {
    async find(userId: string, runId: string): Promise<RunRecord | undefined> {
      const [row] = await database.named<RunRecord>('poll', POLL, [runId, userId])
      return row
    },

    /** The states of many runs at once, for all waits of this instance. Ownership was checked when each wait began. */
    async states(runIds: string[]): Promise<Array<RunState & { runId: string }>> {
      return database.named(
        'states',
        `select run_id as "runId", status, cancel_requested_at as "cancelRequestedAt", ${AHEAD}
        from runs where run_id = any($1)`,
        [runIds],
      )
    },

    /** What the viewers of a run's stream need to know; ownership was checked when they came. */
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
         order by position desc limit 1`,
        [conversationId, userId],
      )
      return row?.runId
    },

    list: (userId: string, filter: RunFilter): Promise<RunListPage> => listRuns(database, userId, filter),

    /**
     * Notes the wish to cancel before anything else happens: if this process dies now, the sweeper cancels.
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
