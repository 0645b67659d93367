import { Kysely, PostgresDialect, type PostgresPool } from 'kysely'
import pg from 'pg'
import type { Database } from '../../src/stores/database.ts'
import type { Schema } from '../../src/stores/schema.ts'

export interface PlanNode {
  'Node Type': string
  'Relation Name'?: string
  'Index Name'?: string
  'Actual Rows': number
  'Actual Loops': number
  'Shared Hit Blocks': number
  'Shared Read Blocks': number
  Plans?: PlanNode[]
}

/** One statement as the server executed it: those inside of functions count as well. */
export interface Executed {
  statement: string
  plan: PlanNode
}

export interface ExplainedDatabase extends Database {
  client: pg.Client
  /** What was executed since the last call, inner statements first. */
  executed(): Executed[]
}

/** auto_explain tells the client of each statement's plan, in JSON. */
const EXPLAIN = `
  load 'auto_explain';
  set auto_explain.log_min_duration = 0;
  set auto_explain.log_analyze = on;
  set auto_explain.log_buffers = on;
  set auto_explain.log_timing = off;
  set auto_explain.log_nested_statements = on;
  set auto_explain.log_format = 'json';
  set auto_explain.log_level = 'notice'`

/** The stores' view of the database, on one connection of a superuser that keeps every plan. */
export async function explainedDatabase(url: string): Promise<ExplainedDatabase> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  await client.query(EXPLAIN)
  let plans: Executed[] = []
  client.on('notice', ({ message = '' }) => {
    const json = message.slice(message.indexOf('{'))
    if (!message.includes('plan:')) return
    const { 'Query Text': statement, Plan: plan } = JSON.parse(json)
    plans.push({ statement, plan })
  })
  const pool = {
    options: {},
    async connect() {
      return { query: (text: string, values: unknown[]) => client.query(text, values), release() {} }
    },
    end: () => client.end(),
  } as unknown as PostgresPool
  const db = new Kysely<Schema>({ dialect: new PostgresDialect({ pool }) })
  return {
    client,
    executed() {
      const executed = plans
      plans = []
      return executed
    },
    run: (work) => work(db),
    page: (work) => work(db),
    named: async <Row extends pg.QueryResultRow>(name: string, text: string, values: unknown[]) =>
      (await client.query<Row>({ name, text, values })).rows,
    pool: () => ({ total: 1, idle: 0, waiting: 0 }),
    onRecovery() {},
    close: () => client.end(),
  }
}

/** Every node of a plan. */
export function nodesOf(plan: PlanNode): PlanNode[] {
  return [plan, ...(plan.Plans ?? []).flatMap(nodesOf)]
}

export const buffersOf = (plan: PlanNode): number => plan['Shared Hit Blocks'] + plan['Shared Read Blocks']

/** A plan as text, for who looks into it. */
export function describe(plan: PlanNode, depth = 0): string[] {
  const { 'Node Type': type, 'Relation Name': relation = '', 'Index Name': index = '' } = plan
  const line = `${'  '.repeat(depth)}${buffersOf(plan)} ${type} ${relation} ${index} rows ${plan['Actual Rows']} × ${plan['Actual Loops']}`
  return [line, ...(plan.Plans ?? []).flatMap((inner) => describe(inner, depth + 1))]
}
