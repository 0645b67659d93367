import { type Kysely, sql } from 'kysely'
import { createFunctions } from '../src/stores/frozen-functions.ts'

/**
 * A turn can be answered again, and its question can be replaced.
 *
 * A retry is a row of `turns` of its own, so that it has its own key, lease and run; it takes the place of the turn that
 * it repeats. A turn that was replaced has no `position` any more: `former_position` is where it stood, `superseded_by`
 * the turn that stands there now. `replaces_from` is the first place that a turn has taken, `replaced` names the turns
 * that stood there, `retry_of` the run that it repeats. A run whose turn has no place has none either; `superseded_by`
 * names the run that replaced it.
 *
 * `superseded_messages`: messages that left their thread. What reads `messages` never meets them.
 *
 * `conversations.opened_by`: the ids of the chat and of its message that opened the conversation.
 *
 * Instances of the version before go on working.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`alter table turns add column former_position integer, add column superseded_by uuid,
    add column replaces_from integer, add column replaced uuid[], add column retry_of text`.execute(db)
  await sql`alter table runs add column retry_of text, add column superseded_by text`.execute(db)
  await sql`alter table conversations add column opened_by text`.execute(db)
  await sql`
    create table superseded_messages (
      id uuid primary key,
      conversation_id uuid not null,
      turn_id uuid,
      position integer not null,
      seq integer not null,
      role text not null,
      text text not null,
      parts jsonb not null,
      status text not null,
      finish_reason text,
      created_at timestamptz(3) not null default now(),
      superseded_by uuid not null
    )`.execute(db)
  await sql`create index superseded_messages_by_place on superseded_messages (conversation_id, position, seq, id)`.execute(
    db,
  )
  await sql`create index superseded_messages_by_turn on superseded_messages (superseded_by)`.execute(db)
  await createFunctions(db, '0010')
}

/** The turns that stand stay. Those that were replaced go, with their runs and their messages. */
export async function down(db: Kysely<unknown>): Promise<void> {
  await sql`drop function supersede, restore, revive_turn, superseded_runs, replacement, fork_conversation`.execute(
    db,
  )
  await sql`drop table superseded_messages`.execute(db)
  await sql`alter table conversations drop column opened_by`.execute(db)
  await sql`delete from turns where former_position is not null`.execute(db)
  await sql`alter table runs drop column retry_of, drop column superseded_by`.execute(db)
  await sql`alter table turns drop column former_position, drop column superseded_by, drop column replaces_from,
    drop column replaced, drop column retry_of`.execute(db)
  await createFunctions(db, '0006', ['start_turn', 'remove_turn'])
  await createFunctions(db, '0007', ['record_run'])
  await createFunctions(db, '0008', ['abandon_turn', 'empty_conversation'])
  await createFunctions(db, '0009', ['finalize_run', 'turn_context'])
}
