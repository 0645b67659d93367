import t from 'tap'
import { startService } from '../support/service.ts'
import { CHAT, pair, start, turnOfKey } from './instances.ts'
import { query, until } from './rows.ts'

t.test('the key of a turn in a deleted conversation', async (t) => {
  const { a, b, toEngine, conversationId } = await pair(t)

  t.test(
    'a key can be used again when the conversation is deleted while its first turn is dispatched',
    async (t) => {
      // The sweepers claim no turns, so that none of them finds the run before its start has failed.
      for (const { app } of [a, b]) app.stores.sweeps.claimTurns = async () => []
      toEngine.toxics.swallowAnswers = true
      const body = { message: 'What is 3 * 3?', metadata: { a: 'b' } }
      const first = start(a, 'deleted', body)
      await until(async () => (await turnOfKey(b, 'deleted')) !== undefined)
      const turn = await turnOfKey(b, 'deleted')
      const [row] = await query<{ c: string }>(
        b,
        `select conversation_id c from turns where id = '${turn?.id}'`,
      )
      t.equal((await b.call('DELETE', `/api/agent/conversations/${row?.c}`)).status, 204)
      t.equal((await first).status, 503)
      await toEngine.mend()
      t.same(await query(b, `select input, metadata from turns where id = '${turn?.id}'`), [
        { input: null, metadata: {} },
      ])
      const again = await start(b, 'deleted', body)
      t.equal(again.status, 202)
      t.match((await b.ended(again.body.runId)).body, {
        status: 'completed',
        text: '3 * 3 = 9.',
        metadata: { a: 'b' },
      })
    },
  )

  t.test(
    'a key still belongs to a turn whose start had no answer after its conversation was deleted',
    async (t) => {
      toEngine.toxics.swallowAnswers = true
      const body = { message: 'What is 1 + 1?', conversationId }
      t.equal((await start(a, 'unanswered', body)).status, 503)
      await toEngine.mend()
      t.equal((await b.call('DELETE', `/api/agent/conversations/${conversationId}`)).status, 204)
      t.equal((await start(b, 'unanswered', { message: 'What is 2 + 2?' })).status, 422)
      t.equal((await start(b, 'unanswered', body)).status, 404)
    },
  )
})

t.test('a conversation of many turns is hidden at once and emptied in the background', async (t) => {
  const service = await startService(t)
  const { body } = await service.call('POST', CHAT, { body: { message: 'hi', metadata: { of: 'many' } } })
  const { conversationId, runId } = body
  await service.ended(runId)
  const { housekeeping } = service.app.stores
  const { emptyDeleted } = housekeeping
  housekeeping.emptyDeleted = async () => false
  await query(
    service,
    `with made as (
       insert into turns (id, conversation_id, user_id, state, run_id, position, metadata)
       select gen_random_uuid(), '${conversationId}', 'alice', 'started', 'run_many' || n, n + 1, '{"of":"many"}'
       from generate_series(1, 2000) n returning id, run_id, position),
     ran as (
       insert into runs (id, turn_id, run_id, conversation_id, user_id, status, position, metadata, deadline_at, finished_at)
       select id, id, run_id, '${conversationId}', 'alice', 'completed', position, '{"of":"many"}', now(), now() from made
       returning id)
     insert into run_labels select run_label('alice', 'of', 'many'), id from ran`,
  )
  await query(
    service,
    `insert into messages (id, conversation_id, turn_id, position, seq, role, text, parts)
     select gen_random_uuid(), conversation_id, id, position, 0, 'user', 'x', '[]' from turns where run_id like 'run_many%'`,
  )
  t.equal((await service.call('DELETE', `/api/agent/conversations/${conversationId}`)).status, 204)
  for (const path of [
    `conversations/${conversationId}`,
    `conversations/${conversationId}/messages`,
    'chat/run_many2000',
    `chat/${runId}`,
  ])
    t.equal((await service.call('GET', `/api/agent/${path}`)).status, 404, path)
  for (const filter of ['', '?status=completed', '?metadata[of]=many', `?conversationId=${conversationId}`])
    t.same((await service.call('GET', `${CHAT}${filter}`)).body.data, [], filter)
  const left = async () => (await query<{ n: number }>(service, `select count(*)::int n from messages`))[0]?.n
  t.ok(((await left()) ?? 0) > 1_000, 'the request itself has removed one batch only')
  housekeeping.emptyDeleted = emptyDeleted
  await until(async () => (await query(service, 'select from deletions')).length === 0)
  t.equal(await left(), 0)
  t.same(
    await query(
      service,
      `select from runs where conversation_id is not null or metadata <> '{}'
       union all select from turns where conversation_id is not null or metadata <> '{}'
       union all select from run_labels`,
    ),
    [],
  )
})
