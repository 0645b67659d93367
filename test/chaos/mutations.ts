import type pg from 'pg'
import type { CallerLog } from './callers.ts'
import { check, type Kill } from './checker.ts'

/** Ways to break a rule, each with the rule that the checker must then name. */
const MUTATIONS: Array<{ name: string; rule: string; sql: string }> = [
  {
    name: 'a key that was dropped: the retry ran twice',
    rule: 'one run',
    sql: `update runs set idempotency_key = null where id = (select id from runs where run_id is not null limit 1)`,
  },
  {
    name: 'a second run of the same turn',
    rule: 'nothing else',
    sql: `insert into runs (id, run_id, user_id, status, finished_at, deadline_at)
          select gen_random_uuid(), 'run_doubled', user_id, status, finished_at, deadline_at from runs limit 1`,
  },
  {
    name: 'a run that was forgotten',
    rule: 'one run',
    sql: `delete from runs where id = (select id from runs limit 1)`,
  },
  {
    name: 'a message that was doubled',
    rule: 'order',
    sql: `insert into messages (id, conversation_id, run_id, position, seq, role, text, parts)
          select gen_random_uuid(), conversation_id, run_id, position, 2, role, text, parts from messages
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
    name: 'an end that was never written',
    rule: 'ended',
    sql: `update runs set status = 'running', finished_at = null where id = (select id from runs where status = 'completed' limit 1)`,
  },
  {
    name: 'a half-made start',
    rule: 'nothing else',
    sql: `insert into conversations (id, user_id, title) values (gen_random_uuid(), 'user-1', 'half-made')`,
  },
  {
    name: 'a run that failed with nobody killed',
    rule: 'completed',
    sql: `update runs set status = 'failed', error_code = 'internal' where id = (select id from runs where status = 'completed' limit 1)`,
  },
]

/** Breaks every rule once, in a transaction that is taken back. @returns the mutations that the checker did not see */
export async function unseenMutations(client: pg.Client, log: CallerLog, kills: Kill[]): Promise<string[]> {
  const unseen: string[] = []
  for (const { name, rule, sql } of MUTATIONS) {
    await client.query('begin')
    try {
      const { rowCount } = await client.query(sql)
      const seen = (await check(client, log, kills)).some((violation) => violation.rule === rule)
      if (!seen) unseen.push(rowCount === 0 ? `${name} (nothing to break)` : name)
    } finally {
      await client.query('rollback')
    }
  }
  return unseen
}

export const MUTATION_COUNT = MUTATIONS.length
