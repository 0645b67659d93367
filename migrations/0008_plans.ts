import { type Kysely, sql } from 'kysely'
import { createFunctions } from '../src/stores/frozen-functions.ts'

/**
 * The index by which expired conversations are found is one that no list can use. By the plain time of the last
 * activity the planner walked the conversations of all users to list those of a user with very many.
 *
 * `abandon_turn` finds its turn by the id alone, and `empty_conversation` the labels of a run by their index.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`drop index conversations_by_age`.execute(db)
  await sql`create index conversations_by_age on conversations ((last_activity_at at time zone 'UTC'))`.execute(
    db,
  )
  await createFunctions(db, '0008')
}

export async function down(db: Kysely<unknown>): Promise<void> {
  await sql`drop index conversations_by_age`.execute(db)
  await sql`create index conversations_by_age on conversations (last_activity_at)`.execute(db)
  await createFunctions(db, '0006', ['abandon_turn', 'empty_conversation'])
}
