import type { Database } from './database.ts'

/** Tokens of a day (UTC) that users and actors may use; a budget that is not set has no limit. */
export interface BudgetLimits {
  user?: number
  actor?: number
  /** What is reserved for a run at its start. */
  perRun: number
}

export interface BudgetRecord {
  scope: 'user' | 'actor'
  reserved: number
  used: number
}

/** Budgets are reserved in `sql/start_turn.sql` and settled in `sql/finalize_run.sql`. */
export function budgetStore(database: Database) {
  return {
    /** What has been used and reserved today; nothing for a budget that was not touched today. */
    async today(userId: string, actor: string | undefined): Promise<BudgetRecord[]> {
      return database.named<BudgetRecord>(
        'budgets_today',
        `select scope, reserved::float8 as reserved, used::float8 as used from budget_days
         where day = (now() at time zone 'UTC')::date and scope = 'user' and name = $1
         union all
         select scope, reserved::float8, used::float8 from budget_days
         where day = (now() at time zone 'UTC')::date and scope = 'actor' and name = $2`,
        [userId, actor ?? null],
      )
    },
  }
}

export type BudgetStore = ReturnType<typeof budgetStore>
