import t from 'tap'
import type { TurnMessage, TurnUsage } from '../../src/agent/turn.ts'
import { triggerRunEngine } from '../../src/engine/trigger/adapter.ts'
import { storable } from '../../src/services/end/answer.ts'
import { finalizer } from '../../src/services/end/finalizer.ts'
import { readPartialAnswer } from '../../src/services/end/partial-answer.ts'
import { openStream, textOf } from '../streams/sse.ts'
import { type Service, startEngine, startService } from '../support/service.ts'
import { type Gatekeeper, keeping, startStreamGate } from '../support/stream-gate.ts'
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
  const { turns, ends } = service.app.stores

  t.test('of twenty parallel ends of a run only the first one is stored', async (t) => {
    const { body } = await service.call('POST', '/api/agent/conversations', { body: {} })
    const turn = storedTurn(1, body.id)
    await turns.start(turn)
    await turns.record(turn.turnId, 'run_once')
    const end = (text: string) => ({
      runId: 'run_once',
      status: 'completed' as const,
      output: {
        id: turn.assistantMessageId,
        role: 'assistant',
        parts: [{ type: 'text', text }],
      } as TurnMessage,
      text,
      usage: null,
      facts: {},
      errorCode: null,
      error: null,
      frameCount: 1,
      truncated: false,
      createdAt: null,
      startedAt: null,
      finishedAt: null,
    })
    const done = await Promise.all(Array.from({ length: 20 }, (_, n) => ends.finalize(end(`answer ${n}`))))
    t.equal(done.filter((one) => one?.done).length, 1)
    const winner = `answer ${done.findIndex((one) => one?.done)}`
    t.match(await ends.finalize(end('too late')), { done: false })
    t.equal(await ends.finalize({ ...end('of nothing'), runId: 'run_unknown' }), undefined)
    t.same(await query(service, `select text from messages where seq = 1`), [{ text: winner }])
    t.match((await service.call('GET', `${CHAT}/run_once`)).body, { status: 'completed', text: winner })
  })

  t.test('parallel starts, retries, abandonments and removals of turns have no deadlock', async (t) => {
    const { body } = await service.call('POST', '/api/agent/conversations', { body: {} })
    const work = Array.from({ length: 60 }, async (_, n) => {
      const turn = storedTurn(100 + n, body.id, `hammer ${n}`)
      await turns.start(turn)
      await Promise.all([
        turns.abandon(turn.turnId),
        turns.start(turn),
        turns.start(turn, turn.turnId),
        n % 2 ? turns.remove(turn.turnId) : turns.abandon(turn.turnId),
        n % 3 ? turns.context(body.id, 1_000) : service.app.stores.sweeps.claimTurns(5),
      ])
      await turns.remove(turn.turnId)
    })
    await Promise.all(work)
    const [{ deadlocks } = { deadlocks: -1 }] = await query<{ deadlocks: number }>(
      service,
      `select deadlocks::int from pg_stat_database where datname = current_database()`,
    )
    t.equal(deadlocks, 0)
    const left = await query(
      service,
      `select from turns where idempotency_key like 'hammer%' union all
       select from messages where text like 'left over 1__'`,
    )
    t.equal(left.length, 0)
  })

  t.test('a cancelled run keeps its partial answer and its usage', async (t) => {
    const run = await startAndWait(service, '[[stall-after:6]] Tell a story.')
    const cancelled = await service.call('POST', `${CHAT}/${run.runId}/cancel`)
    t.match(cancelled, { status: 200, body: { status: 'cancelled', usage: { estimated: true } } })
    t.ok(
      cancelled.body.usage.inputTokens > 0 && cancelled.body.usage.outputTokens > 0,
      'the usage is estimated from the stream',
    )
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

  t.test('a run whose worker died keeps its partial answer, with an estimated usage', async (t) => {
    const run = await startAndWait(service, '[[crash:6]] Tell a story.')
    const { body } = await service.ended(run.runId)
    t.match(body, { status: 'failed', errorCode: 'crashed', retryable: true, usage: { estimated: true } })
    t.ok(body.text.length > 0)
    t.ok(body.usage.totalTokens > 0)
  })

  t.test('the usage of a run includes the step in which its worker died', async (t) => {
    const { body } = await service.call('POST', CHAT, { body: { message: '[[crash:3]] What is 17 * 23?' } })
    const run = (await service.ended(body.runId)).body
    t.match(run, { status: 'failed', errorCode: 'crashed', text: /^17/ })
    const { chunks } = await readPartialAnswer(service.app.engine, body.runId)
    const [counted, ...more] = chunks.filter(({ chunk }) => chunk.type === 'data-usage')
    t.same(more, [], 'the worker has counted the first step only')
    const { inputTokens = 0, outputTokens = 0 } = (counted?.chunk.data ?? {}) as Partial<TurnUsage>
    t.ok(run.usage.inputTokens > inputTokens, 'the prompt of the second step is counted too')
    t.ok(run.usage.outputTokens > outputTokens)
    t.match(run.usage, { totalTokens: run.usage.inputTokens + run.usage.outputTokens, estimated: true })
  })

  t.test('a run ends as failed without an answer when the database refuses the answer', async (t) => {
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

t.test('the partial answer of a run is not lost while its stream cannot be read', async (t) => {
  const pass: Gatekeeper = (_read, _answer, through) => through()
  const engine = await startEngine(t)
  const gate = await startStreamGate(t, engine.url, pass)
  const service = await startService(t, { engine: { ...engine, url: gate.url } })
  const log = { info() {}, warn() {}, error() {} }
  const crashed = async () => {
    const { body } = await service.call('POST', CHAT, { body: { message: '[[crash:6]] Tell a story.' } })
    return body.runId as string
  }
  const rowOf = async (runId: string) => {
    const [row] = await query(service, `select frame_count, truncated from runs where run_id = '${runId}'`)
    return row
  }
  const whole = (await service.ended(await crashed())).body.text
  t.match(whole, /\w+ \w+ \w+/)

  const troubles: Record<string, Gatekeeper> = {
    'answers late': (_read, _answer, through) => void setTimeout(through, 2_500),
    'is refused': (read, answer, through) => {
      if (read > 2) through()
      else answer.writeHead(503).end()
    },
    'hangs after its first record': (read, _answer, through) => {
      if (read > 1) through()
      else
        through(
          keeping(
            (index) => index < 1,
            () => {},
          ),
        )
    },
    'breaks after its first record': (read, answer, through) => {
      if (read > 2) through()
      else
        through(
          keeping(
            (index) => index < 1,
            () => answer.destroy(),
          ),
        )
    },
  }
  for (const [name, keep] of Object.entries(troubles)) {
    t.test(`the partial answer is whole when the stream ${name}`, async (t) => {
      const before = gate.reads
      gate.keep = (read, answer, through) => keep(read - before, answer, through)
      const runId = await crashed()
      t.match((await service.ended(runId)).body, { status: 'failed', errorCode: 'crashed', text: whole })
      t.match(await rowOf(runId), { frame_count: Number, truncated: false })
    })
  }

  t.test(
    'an overdue run ends although its stream cannot be read, and its stored answer is marked as truncated',
    async (t) => {
      gate.keep = (_read, answer) => void answer.writeHead(503).end()
      const runId = await crashed()
      await until(async () => (await service.app.engine.get(runId))?.status === 'failed')
      await query(service, `update runs set deadline_at = now(), check_at = now() where run_id = '${runId}'`)
      t.match((await service.ended(runId)).body, { errorCode: 'crashed', text: '', truncated: true })
      t.same(await rowOf(runId), { frame_count: null, truncated: true })
      gate.keep = pass
      const address = `${CHAT}/${runId}/stream`
      const rest = await service.call('GET', address, { headers: { 'last-event-id': '3' } })
      t.equal(rest.status, 200, 'a viewer can still resume the stream')
      t.match(rest.body, /^: stream\n\nid: 4\n/)
    },
  )

  t.test('the service stores the end without the stream two minutes after the run has ended', async (t) => {
    gate.keep = (_read, answer) => void answer.writeHead(503).end()
    const runId = await crashed()
    const run = await until(async () => {
      const found = await service.app.engine.get(runId)
      return found?.status === 'failed' && found
    })
    const { engine: adapter, stores } = service.app
    const context = {
      engine: adapter,
      stores,
      log,
      tags: { service: async () => '', instance: '' },
      settings: { ttlSeconds: 1, maxDurationSeconds: 1, retentionDays: 1, largePayloads: false },
    }
    const { settle } = finalizer(context)
    const endedAgo = (ms: number) => ({ ...run, finishedAt: new Date(Date.now() - ms) })
    await t.rejects(settle(runId, endedAgo(100_000)), { message: /stream/ })
    t.equal(await settle(runId, endedAgo(130_000)), true)
    t.match((await service.ended(runId)).body, { status: 'failed', text: '', truncated: true })
  })

  t.test(
    'the reader of a partial answer distinguishes an engine that is away from a run without an answer',
    async (t) => {
      const away = triggerRunEngine({
        secretKey: 's',
        apiUrl: 'http://127.0.0.1:1',
        callsPerMinute: 0,
        listLagMs: 0,
        log,
      })
      t.match(await readPartialAnswer(away, 'run_1'), { frameCount: null, truncated: true, cutOff: Error })
      t.match(
        await readPartialAnswer(
          triggerRunEngine({
            secretKey: engine.secretKey,
            apiUrl: engine.url,
            callsPerMinute: 0,
            listLagMs: 0,
            log,
          }),
          'run_1',
        ),
        { frameCount: 0, truncated: false, cutOff: undefined },
      )
    },
  )
})

t.test('an answer that is too long for the output of its run', async (t) => {
  const engine = await startEngine(t)
  const gate = await startStreamGate(t, engine.url, (_read, _answer, through) => through())
  const service = await startService(t, { engine: { ...engine, url: gate.url } })
  const start = async () => {
    const { body } = await service.call('POST', CHAT, { body: { message: '[[overflow]]' } })
    return body as { runId: string; conversationId: string }
  }

  t.test('the service reads the whole answer from the stream', async (t) => {
    gate.keep = (read, answer, through) => {
      if (read > 1) through()
      else answer.writeHead(503).end()
    }
    const { runId, conversationId } = await start()
    const { body } = await service.ended(runId)
    t.match(body, { status: 'completed', text: /^(overflow| )+$/, truncated: undefined })
    t.ok(body.text.length > 200_000)
    const stream = await openStream(service, `${CHAT}/${runId}/stream`)
    t.equal(await stream.closed, 'end')
    t.equal(textOf(stream.events), body.text)
    const messages = await service.call('GET', `/api/agent/conversations/${conversationId}/messages`)
    t.equal(messages.body.data.at(-1).parts.at(-1).text, body.text)
    const message = 'What was my first question?'
    const next = await service.call('POST', CHAT, { body: { message, conversationId } })
    t.match(
      (await service.ended(next.body.runId)).body,
      { text: /overflow/ },
      'the next turn has the answer in its history',
    )
  })

  t.test('the stored answer is marked as truncated when the engine has no stream any more', async (t) => {
    gate.keep = (_read, answer) => void answer.writeHead(410).end()
    const { body } = await service.ended((await start()).runId)
    t.match(body, { status: 'completed', text: /^overflow.*was too long to be kept\.\]$/s, truncated: true })
  })
})

t.test('an answer cut off after any chunk is well-formed', async (t) => {
  const engine = await startEngine(t)
  const gate = await startStreamGate(t, engine.url, (_read, _answer, through) => through())
  const service = await startService(t, { engine: { ...engine, url: gate.url } })
  const { body } = await service.call('POST', CHAT, { body: { message: '[[two-tools]] think' } })
  t.match((await service.ended(body.runId)).body, { status: 'completed' })
  const { engine: adapter } = service.app
  const { frameCount } = await readPartialAnswer(adapter, body.runId)
  t.ok(frameCount && frameCount > 10)
  for (let cut = 0; cut <= (frameCount ?? 0); cut++) {
    gate.keep = (_read, _answer, through) => through(keeping((index) => index < cut))
    const { message, chunks } = await readPartialAnswer(adapter, body.runId)
    t.equal(chunks.length, cut)
    if (message === null) continue
    const calls = storable(message, 'lost').parts.filter((part) => part.type.startsWith('tool-')) as Array<{
      toolCallId: string
      state: string
    }>
    const unanswered = calls.filter(({ state }) => !state.startsWith('output-'))
    t.same(unanswered, [], `after ${cut} chunks every call has a result`)
    t.equal(
      new Set(calls.map(({ toolCallId }) => toolCallId)).size,
      calls.length,
      `after ${cut} chunks every call has one result only`,
    )
  }
})
