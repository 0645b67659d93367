import { Type } from '@sinclair/typebox'
import { oneOf } from './shared.ts'

const count = (description: string) => Type.Integer({ description })

const COUNTS = {
  runs: count('Runs that have ended'),
  completed: count('Those of them that completed'),
  failed: count('Those of them that failed'),
  cancelled: count('Those of them that were cancelled'),
  inputTokens: count('Tokens of the input'),
  outputTokens: count('Tokens of the output'),
  totalTokens: count('Input and output'),
  cachedInputTokens: count('Tokens of the input that the provider had cached'),
  reasoningTokens: count('Tokens of the output that were reasoning'),
  estimated: count('Runs whose tokens are estimates, wholly or in part'),
}

const day = (description: string) =>
  Type.String({
    format: 'date',
    pattern: '^[12]\\d{3}-',
    'x-fault': 'must be a day, such as 2026-11-30',
    description,
  })

const BudgetOfDay = Type.Object(
  {
    limit: count('Tokens of the day'),
    used: count('Used by runs that have ended'),
    reserved: count('Reserved for unfinished runs'),
    left: count('What starts can still reserve'),
  },
  { 'x-name': 'BudgetOfDay', description: 'A budget of tokens' },
)

const Budget = Type.Object(
  {
    day: Type.String({ format: 'date', description: 'Today (UTC)' }),
    resetsAt: Type.String({ format: 'date-time', description: 'When the day ends' }),
    perRun: count('What a start reserves, at most a whole budget'),
    user: Type.Optional(BudgetOfDay),
    actor: Type.Optional(BudgetOfDay),
  },
  {
    'x-name': 'Budget',
    description:
      'The budgets of today: of the user, and of the actor when one calls. Absent where none is set',
  },
)

const GROUPS = ['day', 'agent', 'model'] as const

export const UsageQuery = Type.Object(
  {
    from: Type.Optional(day('First day (UTC); when left out, the report is of the 30 days up to `to`')),
    to: Type.Optional(
      day(
        'Last day (UTC), included; when left out, the report is of the 30 days from `from`, or up to today',
      ),
    ),
    groupBy: Type.Optional(
      oneOf(GROUPS, { description: 'What the report is grouped by, `day` when left out' }),
    ),
  },
  { additionalProperties: false },
)

export const Usage = Type.Object(
  {
    from: Type.String({ format: 'date' }),
    to: Type.String({ format: 'date' }),
    groupBy: oneOf(GROUPS),
    data: Type.Array(
      Type.Object(
        {
          day: Type.Optional(Type.String({ format: 'date', description: 'Of a report by day (UTC)' })),
          agent: Type.Optional(Type.String({ description: 'Of a report by agent' })),
          model: Type.Optional(
            Type.Unsafe<string | null>({
              type: ['string', 'null'],
              description: 'Of a report by model; null for runs that called no model',
            }),
          ),
          ...COUNTS,
        },
        { 'x-name': 'UsageOfGroup', description: 'The runs of one day, agent or model' },
      ),
      { description: 'Groups with runs, in the order of their names' },
    ),
    total: Type.Object(COUNTS, { 'x-name': 'UsageTotal', description: 'All groups together' }),
    budget: Type.Optional(Budget),
  },
  { $id: 'UsageReport', description: 'What your ended runs have used' },
)
