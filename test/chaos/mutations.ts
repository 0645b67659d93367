import type pg from 'pg'
import { check, type Evidence } from './checker.ts'
import type { Cluster } from './cluster.ts'
import { callEngine, type EngineRun, engineRuns } from './engine-runs.ts'

/** Ways to break a rule in the database, each with the rule that the checker must then name. */
const STORED: Array<{ name: string; rule: string; sql: string }> = [
  {
    name: 'a turn that has lost its key, so that a retry would run twice',
    rule: 'one run',
    sql: `update turns set idempotency_key = null where id = (select turn_id from runs limit 1)`,
  },
  {
    name: 'a second run of the same turn',
    rule: 'nothing else',
    sql: `insert into runs (id, turn_id, run_id, user_id, status, finished_at, deadline_at)
          select gen_random_uuid(), turn_id, 'run_doubled', user_id, status, finished_at, deadline_at from runs limit 1`,
  },
  {
    name: 'a run that was forgotten',
    rule: 'one run',
    sql: `delete from runs where id = (select id from runs limit 1)`,
  },
  {
    name: 'a message that was doubled',
    rule: 'order',
    sql: `insert into messages (id, conversation_id, turn_id, position, seq, role, text, parts)
          select gen_random_uuid(), conversation_id, turn_id, position, 2, role, text, parts from messages
          where role = 'user' limit 1`,
  },
  {
    name: 'a message that was lost',
    rule: 'one message',
    sql: `delete from messages where id = (select id from messages where role = 'user' limit 1)`,
  },
  {
    name: 'an answer that was lost',
    rule: 'one message',
    sql: `delete from messages where id = (select id from messages where role = 'assistant' and status = 'complete' limit 1)`,
  },
  {
    name: 'two messages out of order',
    rule: 'order',
    sql: `update messages set position = 99 where role = 'user' and position = 1 and conversation_id = (
            select conversation_id from messages where role = 'user' and position = 2 limit 1)`,
  },
  {
    name: 'an answer that does not know the message before it',
    rule: 'history',
    sql: `update messages set text = 'You have not said anything before this message.'
          where role = 'assistant' and position > 1`,
  },
  {
    name: 'an end that was never stored',
    rule: 'ended',
    sql: `update runs set status = 'running', finished_at = null where id = (select id from runs where status = 'completed' limit 1)`,
  },
  {
    name: 'a half-made start',
    rule: 'nothing else',
    sql: `insert into conversations (id, user_id, title) values (gen_random_uuid(), 'user-1', 'half-made')`,
  },
  {
    name: 'a run that failed by itself',
    rule: 'completed',
    sql: failLast('internal'),
  },
  {
    name: 'a run that crashed although no worker was killed',
    rule: 'completed',
    sql: failLast('crashed'),
  },
  {
    name: 'a run that was lost although no engine was killed',
    rule: 'completed',
    sql: failLast('worker_lost'),
  },
  {
    name: 'a stored end that is not the end at the engine',
    rule: 'same end',
    sql: failLast('provider_error'),
  },
]

/** Lets the last turn fail. No worker or engine was killed after that turn had begun. */
function failLast(errorCode: string): string {
  return `update runs set status = 'failed', error_code = '${errorCode}' where id =
    (select id from runs where status = 'completed' order by created_at desc limit 1)`
}

/** Ways to break a rule in the engine. The engine has no transactions, so each way returns a function that undoes it. */
const EXECUTED: Array<{
  name: string
  rule: string
  act(cluster: Cluster, done: EngineRun): Promise<(() => Promise<unknown>) | undefined>
}> = [
  {
    name: 'a run that still waits in the engine',
    rule: 'ended',
    async act({ engine }, { tags }) {
      const order = { payload: '{}', options: { delay: '1h', tags } }
      const { id } = await callEngine(engine, 'POST', '/api/v1/tasks/agent-chat/trigger', order)
      return () => callEngine(engine, 'POST', `/api/v2/runs/${id}/cancel`)
    },
  },
]

/**
 * Breaks every rule once: in the database in a transaction that is rolled back, and in the engine.
 * @returns the mutations that the checker did not see
 */
export async function unseenMutations(
  cluster: Cluster,
  client: pg.Client,
  evidence: Evidence,
): Promise<string[]> {
  const unseen: string[] = []
  const isSeen = async (rule: string, engine = evidence.engine) =>
    (await check(client, { ...evidence, engine })).some((violation) => violation.rule === rule)
  for (const { name, rule, sql } of STORED) {
    await client.query('begin')
    try {
      const { rowCount } = await client.query(sql)
      if (!(await isSeen(rule))) unseen.push(rowCount === 0 ? `${name} (nothing to break)` : name)
    } finally {
      await client.query('rollback')
    }
  }
  const done = evidence.engine.find(({ status }) => status === 'COMPLETED')
  for (const { name, rule, act } of EXECUTED) {
    const undo = done && (await act(cluster, done))
    if (!(await isSeen(rule, await engineRuns(cluster)))) unseen.push(name)
    await undo?.()
  }
  // An instance stops a second run of a turn at once, so the test adds one to the list of the engine's runs instead.
  const twice = done === undefined ? [] : [{ ...done, id: `${done.id}again` }]
  if (!(await isSeen('one execution', [...evidence.engine, ...twice]))) unseen.push(RUN_TWICE)
  return unseen
}

const RUN_TWICE = 'a turn that the engine has run twice'
export const MUTATION_COUNT = STORED.length + EXECUTED.length + 1
