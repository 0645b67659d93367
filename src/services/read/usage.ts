import type { Caller } from '../../caller.ts'
import { problem } from '../../errors.ts'
import type { UsageGroup, UsageRecord } from '../../stores/usage.ts'
import type { ServiceContext } from '../context.ts'

export interface UsageQuery {
  /** First and last day (UTC), `YYYY-MM-DD`, both included: the last 30 days when absent. */
  from?: string
  to?: string
  groupBy?: UsageGroup
}

type Counts = Omit<UsageRecord, 'key'> & { runs: number }

export interface UsageView {
  from: string
  to: string
  groupBy: UsageGroup
  /** The groups in the order of their keys. `model` is null for runs that called no model. */
  data: Array<Counts & { day?: string; agent?: string; model?: string | null }>
  total: Counts
  /** The tokens that are left today in the budgets of the user and of the calling actor. */
  budget?: { day: string; resetsAt: string; perRun: number } & Partial<Record<'user' | 'actor', BudgetView>>
}

/** Tokens. */
export interface BudgetView {
  limit: number
  used: number
  reserved: number
  left: number
}

export interface UsageService {
  /** @throws Problem `invalid_request` when the days are not in order, or are too many */
  report(caller: Caller, query: UsageQuery): Promise<UsageView>
}

const MS_PER_DAY = 86_400_000
const DEFAULT_DAYS = 30
const MAX_DAYS = 366

export function usageService({ stores, settings }: ServiceContext): UsageService {
  async function budget({ userId, actor }: Caller): Promise<Pick<UsageView, 'budget'>> {
    const limits = settings.budget
    if (limits === undefined) return {}
    const rows = await stores.budgets.today(userId, actor)
    const day = dayOf(Date.now())
    const scopes = (['user', 'actor'] as const).flatMap((scope) => {
      const limit = limits[scope]
      if (limit === undefined || (scope === 'actor' && actor === undefined)) return []
      const { used, reserved } = rows.find((row) => row.scope === scope) ?? { used: 0, reserved: 0 }
      return [[scope, { limit, used, reserved, left: Math.max(0, limit - used - reserved) }] as const]
    })
    return {
      budget: {
        day,
        resetsAt: `${later(day, 1)}T00:00:00.000Z`,
        perRun: limits.perRun,
        ...Object.fromEntries(scopes),
      },
    }
  }

  return {
    async report(caller, query) {
      const groupBy = query.groupBy ?? 'day'
      const days = daysOf(query)
      const rows = await stores.usage.report(caller.userId, days, groupBy)
      return {
        ...days,
        groupBy,
        data: rows.map(({ key, ...counts }) => ({
          [groupBy]: groupBy === 'model' && key === '' ? null : key,
          ...withRuns(counts),
        })),
        total: rows.reduce(add, NOTHING),
        ...(await budget(caller)),
      }
    },
  }
}

function daysOf({ from, to }: UsageQuery): { from: string; to: string } {
  const last = to ?? (from === undefined ? dayOf(Date.now()) : later(from, DEFAULT_DAYS - 1))
  const first = from ?? later(last, 1 - DEFAULT_DAYS)
  const count = (Date.parse(last) - Date.parse(first)) / MS_PER_DAY + 1
  if (count < 1) throw invalid('must not be before `from`')
  if (count > MAX_DAYS) throw invalid(`must be at most ${MAX_DAYS - 1} days after \`from\``)
  return { from: first, to: last }
}

const dayOf = (time: number) => new Date(time).toISOString().slice(0, 10)
const later = (day: string, days: number) => dayOf(Date.parse(day) + days * MS_PER_DAY)

const invalid = (message: string) =>
  problem('invalid_request', {
    detail: `\`to\` ${message}.`,
    members: { errors: [{ in: 'query', path: '/to', message }] },
  })

const withRuns = (counts: Omit<UsageRecord, 'key'>): Counts => ({
  runs: counts.completed + counts.failed + counts.cancelled,
  ...counts,
})

const NOTHING: Counts = withRuns({
  completed: 0,
  failed: 0,
  cancelled: 0,
  inputTokens: 0,
  outputTokens: 0,
  totalTokens: 0,
  cachedInputTokens: 0,
  reasoningTokens: 0,
  estimated: 0,
})

function add(total: Counts, { key: _, ...counts }: UsageRecord): Counts {
  const next = withRuns(counts)
  return Object.fromEntries(
    Object.entries(total).map(([name, value]) => [name, value + next[name as keyof Counts]]),
  ) as unknown as Counts
}
