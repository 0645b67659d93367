import { type Kysely, sql } from 'kysely'
import { createFunctions } from '../src/stores/frozen-functions.ts'

/**
 * The agent of a conversation, of its turns and of their runs. `conversations.agent` is null until the first turn fixes
 * it. All rows that are there belong to `default`, and so do those that instances of the version before add.
 *
 * A run of another agent has a label by which lists find it (`labels_of_run`).
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`alter table conversations add column agent text default 'default'`.execute(db)
  await sql`alter table turns add column agent text not null default 'default'`.execute(db)
  await sql`alter table runs add column agent text not null default 'default'`.execute(db)
  await createFunctions(db, '0018')
}

export async function down(db: Kysely<unknown>): Promise<void> {
  await createFunctions(db, '0007', ['count_usage'])
  await createFunctions(db, '0010', ['empty_conversation'])
  await createFunctions(db, '0011', ['record_run', 'remove_turn'])
  await createFunctions(db, '0014', ['adopt_run', 'fork_conversation', 'start_turn'])
  await sql`drop function labels_of_run`.execute(db)
  for (const table of ['conversations', 'turns', 'runs'])
    await sql`alter table ${sql.table(table)} drop column agent`.execute(db)
}
