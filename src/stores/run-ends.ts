import type { TurnMessage, TurnUsage } from '../agent/turn.ts'
import type { Database } from './database.ts'

/** How a run ended, as it is stored. */
export interface RunEnd {
  runId: string
  status: 'completed' | 'failed' | 'cancelled'
  output: TurnMessage | null
  text: string
  usage: TurnUsage | null
  errorCode: string | null
  error: string | null
  /** Records that the run's stream holds; null when they could not be counted. */
  frameCount: number | null
  truncated: boolean
  /** Times of the engine; null where it did not say. */
  createdAt: Date | null
  startedAt: Date | null
  finishedAt: Date | null
  /** The engine may still execute the run: the sweeper stops it there. */
  stop?: boolean
}

/** What a run goes through once it is recorded. Every function is one round trip and safe to repeat. */
export function runEndStore(database: Database, limits: { executionSeconds: number }) {
  return {
    /**
     * Notes that the run executes: its deadline counts from now on.
     * @returns false when no queued run has this id
     */
    async markRunning(runId: string, startedAt: Date | null): Promise<boolean> {
      const rows = await database.named(
        'mark_running',
        `update runs set status = 'running', started_at = coalesce($2, now()), missed_at = null,
           deadline_at = now() + $3 * interval '1 second',
           check_at = case when cancel_requested_at is null then now() + interval '8 seconds' else check_at end
         where run_id = $1 and status = 'queued' returning id`,
        [runId, startedAt, limits.executionSeconds],
      )
      return rows.length > 0
    },

    /** Ends the run once. @returns false when it had ended before, undefined when there is no such run */
    async finalize(end: RunEnd): Promise<boolean | undefined> {
      const [row] = await database.named<{ done: boolean | null }>(
        'finalize_run',
        'select finalize_run($1, $2, $3::jsonb, $4, $5::jsonb, $6, $7, $8, $9, $10, $11, $12) as done',
        [
          end.runId,
          end.status,
          end.output === null ? null : JSON.stringify(end.output),
          end.text,
          end.usage === null ? null : JSON.stringify(end.usage),
          end.errorCode,
          end.error,
          end.frameCount,
          end.truncated,
          end.startedAt,
          end.finishedAt,
          end.stop ?? false,
        ],
      )
      return row?.done ?? undefined
    },
  }
}

export type RunEndStore = ReturnType<typeof runEndStore>
