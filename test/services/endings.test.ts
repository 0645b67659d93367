import t from 'tap'
import type { TurnMessage } from '../../src/agent/turn.ts'
import { storable } from '../../src/services/answer.ts'
import { readPartialAnswer } from '../../src/services/partial-answer.ts'
import { type Service, startService } from '../support/service.ts'
import { query, storedTurn, until } from './rows.ts'

const CHAT = '/api/agent/chat'

async function startAndWait(service: Service, message: string, words = 3) {
  const { body } = await service.call('POST', CHAT, { body: { message } })
  await until(async () => {
    let said = 0
    const stop = new AbortController()
    for await (const { chunk } of service.app.engine.chunks(body.runId, stop.signal)) {
      if (chunk.type === 'text-delta' && ++said >= 1) break
      if (['finish', 'error', 'abort'].includes(chunk.type)) break
    }
    stop.abort()
    return said > 0 || words === 0
  })
  return body
}

t.test('the end of a turn', async (t) => {
  const service = await startService(t)
  const { turns } = service.app.stores

  t.test('is written once, whoever comes first, and by nobody after', async (t) => {
    const { body } = await service.call('POST', '/api/agent/conversations', { body: {} })
    const turn = storedTurn(1, body.id)
    await turns.start(turn)
    await turns.record(turn.turnId, 'run_once')
    const end = (text: string) => ({
      turnId: turn.turnId,
      runId: 'run_once',
      status: 'completed' as const,
      output: {
        id: turn.assistantMessageId,
        role: 'assistant',
        parts: [{ type: 'text', text }],
      } as TurnMessage,
      text,
      usage: null,
      errorCode: null,
      error: null,
      frameCount: 1,
      truncated: false,
      startedAt: null,
      finishedAt: null,
    })
    const ends = await Promise.all(Array.from({ length: 20 }, (_, n) => turns.finalize(end(`answer ${n}`))))
    t.equal(ends.filter(Boolean).length, 1)
    const winner = `answer ${ends.indexOf(true)}`
    t.equal(await turns.finalize(end('too late')), false)
    t.same(await query(service, `select text from messages where seq = 1`), [{ text: winner }])
    t.match((await service.call('GET', `${CHAT}/run_once`)).body, { status: 'completed', text: winner })
  })

  t.test('has no deadlock with starts, retries and withdrawals beside it', async (t) => {
    const { body } = await service.call('POST', '/api/agent/conversations', { body: {} })
    const work = Array.from({ length: 60 }, async (_, n) => {
      const turn = storedTurn(100 + n, body.id, `hammer ${n}`)
      await turns.start(turn)
      await Promise.all([
        turns.withdraw(turn.turnId, 'abandoned'),
        turns.start(turn),
        turns.start(turn),
        turns.withdraw(turn.turnId, n % 2 ? 'gone' : 'abandoned'),
        service.app.stores.sweeps.giveUp(turn.turnId, ['run_other']),
      ])
      await turns.withdraw(turn.turnId, 'gone')
    })
    await Promise.all(work)
    const [{ deadlocks } = { deadlocks: -1 }] = await query<{ deadlocks: number }>(
      service,
      `select deadlocks::int from pg_stat_database where datname = current_database()`,
    )
    t.equal(deadlocks, 0)
    const left = await query(
      service,
      `select from runs where idempotency_key like 'hammer%' union all
       select from messages where text like 'left over 1__'`,
    )
    t.equal(left.length, 0)
  })

  t.test('keeps what a cancelled run had said, with its usage', async (t) => {
    const run = await startAndWait(service, '[[stall-after:6]] Tell a story.')
    const cancelled = await service.call('POST', `${CHAT}/${run.runId}/cancel`)
    t.match(cancelled, { status: 200, body: { status: 'cancelled', usage: { estimated: true } } })
    t.ok(cancelled.body.usage.inputTokens > 0 && cancelled.body.usage.outputTokens > 0, 'usage is settled')
    const frames = await readPartialAnswer(service.app.engine, run.runId)
    const sent = frames.message?.parts.map((part) => (part.type === 'text' ? part.text : '')).join('')
    t.equal(cancelled.body.text, sent)
    t.ok(sent && sent.split(' ').length >= 5)
    const [row] = await query<{ frame_count: number }>(
      service,
      `select frame_count from runs where run_id = '${run.runId}'`,
    )
    t.equal(row?.frame_count, frames.frameCount)
  })

  t.test('keeps what a run had said whose process died, with an estimated usage', async (t) => {
    const run = await startAndWait(service, '[[crash:6]] Tell a story.')
    const { body } = await service.ended(run.runId)
    t.match(body, { status: 'failed', errorCode: 'crashed', retryable: true, usage: { estimated: true } })
    t.ok(body.text.length > 0)
    t.ok(body.usage.totalTokens > 0)
  })

  t.test('comes without content when the database refuses the content', async (t) => {
    await query(
      service,
      `create function refuse() returns trigger language plpgsql as $$ begin
         if new.seq = 1 and new.text like '%= 391%' then raise exception 'refused' using errcode = '22P05'; end if;
         return new; end $$`,
    )
    await query(
      service,
      `create trigger refuse before insert on messages for each row execute function refuse()`,
    )
    const { body } = await service.call('POST', CHAT, { body: { message: 'What is 17 * 23?' } })
    const ended = await service.ended(body.runId)
    t.match(ended.body, { status: 'failed', errorCode: 'internal', text: '' })
    const next = await service.call('POST', CHAT, {
      body: { message: 'What is 1 + 1?', conversationId: body.conversationId },
    })
    t.match((await service.ended(next.body.runId)).body, { status: 'completed' })
  })
})

t.test('an answer cut off after any chunk is well-formed', async (t) => {
  const service = await startService(t)
  const { body } = await service.call('POST', CHAT, { body: { message: '[[two-tools]] think' } })
  t.match((await service.ended(body.runId)).body, { status: 'completed' })
  const { engine } = service.app
  const { frameCount } = await readPartialAnswer(engine, body.runId)
  t.ok(frameCount && frameCount > 10)
  for (let cut = 0; cut <= (frameCount ?? 0); cut++) {
    const cutEngine = {
      ...engine,
      async *chunks(runId: string, signal: AbortSignal) {
        for await (const record of engine.chunks(runId, signal)) {
          if (record.index >= cut) return
          yield record
        }
      },
    }
    const { message } = await readPartialAnswer(cutEngine, body.runId)
    if (message === null) continue
    const calls = storable(message, 'lost').parts.filter((part) => part.type.startsWith('tool-')) as Array<{
      toolCallId: string
      state: string
    }>
    const unanswered = calls.filter(({ state }) => !state.startsWith('output-'))
    t.same(unanswered, [], `after ${cut} chunks every call has a result`)
    t.equal(new Set(calls.map(({ toolCallId }) => toolCallId)).size, calls.length, 'and only one')
  }
})
