import { sql } from 'kysely'
import type { TurnMessage, TurnUsage } from '../agent/turn.ts'
import type { PublicStatus } from '../engine/run-status.ts'
import type { Database } from './database.ts'
import type { Metadata, TurnInput } from './schema.ts'

/** One run as its owner may see it. */
export interface RunRecord {
  turnId: string
  runId: string
  status: PublicStatus
  conversationId: string | null
  input: TurnInput | null
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

export type RunSummaryRecord = Omit<RunRecord, 'input' | 'output' | 'frameCount' | 'truncated' | 'ahead'>

/** What of a run may change while it is unfinished. */
export type RunState = Pick<RunRecord, 'status' | 'cancelRequestedAt' | 'ahead'>

/** What a run's row says about its stream. */
export interface RunProgress extends RunState {
  turnId: string
  /** Records that the stream holds, once the run is over; null when nobody could count them. */
  frameCount: number | null
  error: string | null
}

export interface RunFilter {
  conversationId?: string
  status?: PublicStatus[]
  metadata?: Metadata
  runIds?: string[]
  limit: number
  /** Turn id of the last run of the page before. */
  before?: string
}

const SUMMARY = `id as "turnId", run_id as "runId", status, conversation_id as "conversationId", error_code as "errorCode", error,
  usage, metadata, cancel_requested_at as "cancelRequestedAt", created_at as "createdAt",
  started_at as "startedAt", finished_at as "finishedAt"`

const VISIBLE = `status not in ('dispatching', 'abandoned') and deleted_at is null`

/** Runs for queued ones only, on the index of a conversation's unfinished runs. */
const AHEAD = `case when status = 'queued' and conversation_id is not null then (
    select coalesce(array_agg(coalesce(a.run_id, '') order by a.position), '{}') from runs a
    where a.conversation_id = runs.conversation_id and a.position < runs.position
      and a.status in ('dispatching', 'queued', 'running')
  ) end as ahead`

/** A poll is this one read by a unique key. */
const POLL = `
  select ${SUMMARY}, input, output, frame_count as "frameCount", truncated, ${AHEAD}
  from runs where run_id = any($1) and user_id = $2 and ${VISIBLE}`

/** Reads of runs. The caller's user is part of every query; what is not theirs does not exist. */
export function runStore(database: Database) {
  return {
    async find(userId: string, runId: string): Promise<RunRecord | undefined> {
      const [row] = await database.named<RunRecord>('poll', POLL, [[runId], userId])
      return row
    },

    /**
     * The states of many runs at once, for everyone who waits on this instance. Ownership was checked when the
     * wait began.
     */
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
        `select id as "turnId", case when status in ('dispatching', 'abandoned') then 'queued' else status end as status,
           cancel_requested_at as "cancelRequestedAt", frame_count as "frameCount", error, ${AHEAD}
         from runs where run_id = $1`,
        [runId],
      )
      return row
    },

    /** The newest unfinished run of a conversation; undefined when there is none (or no such conversation). */
    async newestUnfinished(userId: string, conversationId: string): Promise<string | undefined> {
      const row = await database.run((db) =>
        db
          .selectFrom('runs')
          .where('conversation_id', '=', conversationId)
          .where('user_id', '=', userId)
          .where('status', 'in', ['queued', 'running'])
          .where('run_id', 'is not', null)
          .orderBy('position', 'desc')
          .limit(1)
          .select('run_id')
          .executeTakeFirst(),
      )
      return row?.run_id ?? undefined
    },

    /** Newest first, without contents. */
    async list(userId: string, filter: RunFilter): Promise<RunSummaryRecord[]> {
      const { rows } = await database.page((db) =>
        sql<RunSummaryRecord>`
          select ${sql.raw(SUMMARY)} from runs
          where user_id = ${userId} and ${sql.raw(VISIBLE)} and run_id is not null
            and (${filter.conversationId ?? null}::uuid is null or conversation_id = ${filter.conversationId ?? null}::uuid)
            and (${filter.status ?? null}::text[] is null or status = any(${filter.status ?? null}::text[]))
            and (${filter.runIds ?? null}::text[] is null or run_id = any(${filter.runIds ?? null}::text[]))
            and metadata @> ${JSON.stringify(filter.metadata ?? {})}::jsonb
            and (${filter.before ?? null}::uuid is null or id < ${filter.before ?? null}::uuid)
          order by id desc limit ${filter.limit}`.execute(db),
      )
      return rows
    },

    /**
     * Notes the wish to cancel before anything else happens: if this process dies now, the sweeper cancels.
     * @returns the turn when it is unfinished
     */
    async requestCancel(userId: string, runId: string): Promise<{ turnId: string } | undefined> {
      const [row] = await database.named<{ turnId: string }>(
        'request_cancel',
        `update runs set cancel_requested_at = coalesce(cancel_requested_at, now()),
           check_at = least(check_at, now() + interval '5 seconds')
         where run_id = $1 and user_id = $2 and status in ('queued', 'running') and deleted_at is null
         returning id as "turnId"`,
        [runId, userId],
      )
      return row
    },
  }
}

export type RunStore = ReturnType<typeof runStore>
