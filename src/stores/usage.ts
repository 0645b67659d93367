import type { Database } from './database.ts'

/** The fields by which usage can be grouped. */
export const USAGE_GROUPS = ['day', 'agent', 'model'] as const
export type UsageGroup = (typeof USAGE_GROUPS)[number]

/** The ended runs of a group, and the tokens that they have used. */
export interface UsageRecord {
  /** A day (`YYYY-MM-DD`), the name of an agent, or the name of a model. Empty for runs that called no model. */
  key: string
  completed: number
  failed: number
  cancelled: number
  inputTokens: number
  outputTokens: number
  totalTokens: number
  cachedInputTokens: number
  reasoningTokens: number
  /** Number of runs whose tokens are estimates, wholly or in part. */
  estimated: number
}

const KEYS: Record<UsageGroup, string> = { day: `to_char(day, 'YYYY-MM-DD')`, agent: 'agent', model: 'model' }

const sums = (...columns: Array<keyof UsageRecord>) =>
  columns.map((name) => `sum(${name.replace(/[A-Z]/g, '_$&').toLowerCase()})::float8 as "${name}"`).join(', ')

/** Tokens and runs of one user. The counts are increased when a run ends; see `sql/count_usage.sql`. */
export function usageStore(database: Database) {
  return {
    /** @param days first and last day (UTC), `YYYY-MM-DD`, both included */
    async report(
      userId: string,
      days: { from: string; to: string },
      groupBy: UsageGroup,
    ): Promise<UsageRecord[]> {
      return database.named<UsageRecord>(
        `usage_by_${groupBy}`,
        `select ${KEYS[groupBy]} as key, ${sums('completed', 'failed', 'cancelled', 'inputTokens', 'outputTokens')},
           ${sums('totalTokens', 'cachedInputTokens', 'reasoningTokens', 'estimated')}
         from usage_days where user_id = $1 and day between $2::date and $3::date group by 1 order by 1`,
        [userId, days.from, days.to],
      )
    },
  }
}

export type UsageStore = ReturnType<typeof usageStore>
