import { type Kysely, sql } from 'kysely'
import { createFunctions } from '../src/stores/frozen-functions.ts'

/**
 * What a conversation keeps for its prompts, when they are measured in tokens.
 *
 * `conversations.summary`: `{text, messages, dropped, through, position, seq}`, the text that stands for the messages
 * through the one at (`position`, `seq`), whose id is `through`. `conversations.characters_per_token`: the ratio of the
 * last prompt, as its provider has counted it.
 *
 * Instances of the version before go on working: they send no summary, and store none.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`alter table conversations add column summary jsonb, add column characters_per_token double precision`.execute(
    db,
  )
  await createFunctions(db, '0009')
}

export async function down(db: Kysely<unknown>): Promise<void> {
  await createFunctions(db, '0006', ['turn_context'])
  await createFunctions(db, '0007', ['finalize_run'])
  await sql`drop function keep_window, shorter_parts`.execute(db)
  await sql`alter table conversations drop column summary, drop column characters_per_token`.execute(db)
}
