import { type Kysely, sql } from 'kysely'

/**
 * The key of a turn that was abandoned stays with it when its conversation is deleted: the engine may still answer
 * that key with the turn's run, which must not become the run of another turn. A retry makes a new start of it,
 * visible again; until then nothing of its content is kept.
 *
 * A wish to cancel that came before a run without a row was adopted is kept. A turn that is written while it is taken
 * back is not: its messages, in a conversation that was not known, would stay.
 */
const CHANGES: Array<{ name: string; from: string; to: string }> = [
  {
    name: 'start_turn',
    from: `v_message := v_known.input->'message';`,
    to: `v_message := coalesce(v_known.input->'message', v_message);`,
  },
  {
    name: 'start_turn',
    from: `v_conversation_id := (v_known.input->>'conversationId')::uuid;`,
    to: `v_conversation_id := coalesce((v_known.input->>'conversationId')::uuid, v_conversation_id);`,
  },
  {
    name: 'start_turn',
    from: `cancel_requested_at = null, missed_at = null,`,
    to: `cancel_requested_at = null, missed_at = null, deleted_at = null, metadata = p->'metadata',
          input = coalesce(input, jsonb_build_object('message', v_message, 'conversationId', v_conversation_id,
            'newConversation', v_is_new, 'assistantMessageId', p->>'assistantMessageId')),`,
  },
  {
    name: 'withdraw_turn',
    from: `
      perform from conversations where id = v_conversation_id for no key update;`,
    to: `
      if not found then
        return false;
      end if;
      perform from conversations where id = v_conversation_id for no key update;`,
  },
  {
    name: 'withdraw_turn',
    from: `update runs set status = 'abandoned', check_at`,
    to: `update runs set status = 'abandoned', input = case when deleted_at is null then input end, check_at`,
  },
  {
    name: 'delete_conversation',
    from: `
        -- The key of a turn that ran goes on answering with it; one of a turn that did not is free again.
        idempotency_key = case when status <> 'abandoned' then idempotency_key end,
        cancel_requested_at = case when finished_at`,
    to: `
        cancel_requested_at = case when finished_at`,
  },
  {
    name: 'adopt_turn',
    from: `cancel_requested_at = null, missed_at = null,`,
    to: `cancel_requested_at = case when status = 'dispatching' then cancel_requested_at end, missed_at = null,
        deleted_at = case when status = 'dispatching' then deleted_at end, input = coalesce(input, p->'input'),
        metadata = case when status = 'dispatching' then metadata else p->'metadata' end,`,
  },
]

export async function up(db: Kysely<unknown>): Promise<void> {
  for (const { name, from, to } of CHANGES) await change(db, name, from, to)
}

export async function down(db: Kysely<unknown>): Promise<void> {
  for (const { name, from, to } of CHANGES.toReversed()) await change(db, name, to, from)
}

/** Rewrites one place of a function; the rest of it stays what earlier migrations made it. */
async function change(db: Kysely<unknown>, name: string, from: string, to: string): Promise<void> {
  const { rows } = await sql<{ definition: string }>`
    select pg_get_functiondef(${name}::regproc) as definition`.execute(db)
  const [before, after, ...more] = rows[0]?.definition.split(from) ?? []
  if (before === undefined || after === undefined || more.length > 0)
    throw new Error(`${name} is not what this migration was written for`)
  await sql.raw(before + to + after).execute(db)
}
