import type { TurnMessage, TurnUsage } from '../agent/turn.ts'
import type { Database } from './database.ts'
import type { EndFacts } from './schema.ts'

/** The stored end of a run. */
export interface RunEnd {
  runId: string
  status: 'completed' | 'failed' | 'cancelled'
  output: TurnMessage | null
  text: string
  usage: TurnUsage | null
  facts: EndFacts
  errorCode: string | null
  error: string | null
  /** Number of records in the run's stream; null when they could not be counted. */
  frameCount: number | null
  truncated: boolean
  /** Times by the clock of the engine; null when the engine did not say them. */
  createdAt: Date | null
  startedAt: Date | null
  finishedAt: Date | null
  /** The engine may still execute the run. The sweeper cancels the run at the engine. */
  stop?: boolean
}

/** The result of a call that stores the end of a run. */
export interface Finalized {
  /** False when the run had ended before. */
  done: boolean
  agent: string
}

/** Changes of a run's status after the run is recorded. Every function is one round trip and safe to repeat. */
export function runEndStore(database: Database, limits: { executionSeconds: number }) {
  return {
    /**
     * Stores that the run executes. Its deadline counts from now on.
     * @returns false when no queued run has this id
     */
    async markRunning(runId: string, startedAt: Date | null): Promise<boolean> {
      const [row] = await database.named<{ done: boolean }>(
        'mark_running',
        'select mark_running($1, $2, $3) as done',
        [runId, startedAt, limits.executionSeconds],
      )
      return row?.done ?? false
    },

    /** Ends the run once. @returns undefined when there is no such run */
    async finalize(end: RunEnd): Promise<Finalized | undefined> {
      const [row] = await database.named<{ done: boolean | null; agent: string }>(
        'finalize_run',
        'select finalize_run($1, $2, $3::jsonb, $4, $5::jsonb, $6, $7, $8, $9, $10, $11, $12, $13::jsonb) as done, (select agent from runs where run_id = $1) as agent',
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
          JSON.stringify(end.facts),
        ],
      )
      return row === undefined || row.done === null ? undefined : { done: row.done, agent: row.agent }
    },
  }
}

export type RunEndStore = ReturnType<typeof runEndStore>
