import type { Database } from './database.ts'

/** Tokens of a day (UTC) that users and actors may use; a budget that is not set has no limit. */
export interface BudgetLimits {
  user?: number
  actor?: number
  /** The tokens that a start reserves for its run. */
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
    /** The tokens that were used and reserved today. A budget that was not used today has no row. */
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
