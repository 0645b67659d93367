import t from 'tap'
import { query } from '../services/rows.ts'
import { ready } from '../streams/sse.ts'
import { type Answer, type CallOptions, type Service, startEngine, startService } from '../support/service.ts'

const CHAT = '/api/agent/chat'

/** What the tests do with one service. */
function callerOf(service: Service) {
  const call = service.call
  return {
    async answered(body: object, options: CallOptions = {}): Promise<Answer> {
      const { body: started } = await call('POST', CHAT, { ...options, body })
      return service.ended(started.runId, options.user)
    },
    retry: (runId: string, options: CallOptions = {}) => call('POST', `${CHAT}/${runId}/retry`, options),
    async thread(conversationId: string, include = '') {
      const path = `/api/agent/conversations/${conversationId}/messages${include}`
      const { data } = (await call('GET', path)).body
      return data.map(({ text, status, superseded }: Record<string, unknown>) =>
        superseded ? [text, status, 'superseded'] : [text, status],
      )
    },
  }
}

t.test('the last turn of a conversation', async (t) => {
  const service = await startService(t, { engine: await startEngine(t) })
  await ready(service)
  const { answered, retry, thread } = callerOf(service)

  t.test('is run again: one question, the new answer in the thread, the old one beside it', async (t) => {
    const first = (await answered({ message: 'What is 1 + 1?', metadata: { ticket: 'T-1' } })).body
    const { conversationId } = first
    const started = await retry(first.runId)
    t.match(started, { status: 202, body: { status: 'queued', conversationId } })
    t.equal(started.headers.get('location'), `${CHAT}/${started.body.runId}`)
    t.not(started.body.runId, first.runId)
    const second = (await service.ended(started.body.runId)).body
    t.match(second, {
      status: 'completed',
      text: '1 + 1 = 2.',
      retryOf: first.runId,
      metadata: { ticket: 'T-1' },
    })
    t.match(second.messages[0], { role: 'user' })
    t.not(second.messageId, first.messageId)
    const old = (await service.call('GET', `${CHAT}/${first.runId}`)).body
    t.same(
      old,
      { ...first, supersededBy: second.runId },
      'the old run stays as it was, and names the new one',
    )
    t.same(await thread(conversationId), [
      ['What is 1 + 1?', 'complete'],
      ['1 + 1 = 2.', 'complete'],
    ])
    t.same(await thread(conversationId, '?include=superseded'), [
      ['What is 1 + 1?', 'complete'],
      ['1 + 1 = 2.', 'complete', 'superseded'],
      ['1 + 1 = 2.', 'complete'],
    ])
    const stream = await service.call('GET', `${CHAT}/${first.runId}/stream`)
    t.equal(stream.status, 200, 'and its stream')
    const listed = (await service.call('GET', `${CHAT}?conversationId=${conversationId}`)).body.data
    t.match(listed, [{ retryOf: first.runId }, { supersededBy: second.runId }])
    t.equal(
      (await answered({ message: 'What was my first message?', conversationId })).body.text,
      'Your first message was: "What is 1 + 1?"',
    )
    t.match(await retry(second.runId), {
      status: 409,
      body: { code: 'turn_not_last', retryable: false, supersededBy: null },
    })
    const again = await retry(first.runId)
    t.match(again, { status: 409, body: { code: 'turn_not_last', supersededBy: second.runId } })
  })

  t.test('is run again after a failure, and after a cancel', async (t) => {
    const failed = (await answered({ message: '[[fail]] What is 2 + 2?' })).body
    t.equal(failed.status, 'failed')
    const second = await retry(failed.runId)
    t.match(await service.ended(second.body.runId), { body: { status: 'failed', retryOf: failed.runId } })
    t.equal((await thread(failed.conversationId)).length, 2, 'one question, one failure')

    const { body } = await service.call('POST', CHAT, { body: { message: '[[stall-after:3]] a story' } })
    const cancelled = (await service.call('POST', `${CHAT}/${body.runId}/cancel`)).body
    t.equal(cancelled.status, 'cancelled')
    const third = await retry(body.runId)
    t.equal(third.status, 202)
    await service.call('POST', `${CHAT}/${third.body.runId}/cancel`)
    const questions = (await thread(body.conversationId)).filter(([text]: string[]) =>
      text?.includes('a story'),
    )
    t.equal(questions.length, 1)
  })

  t.test('is not run twice at once: its unfinished run is cancelled, or the retry is refused', async (t) => {
    const { body: live } = await service.call('POST', CHAT, { body: { message: '[[stall-after:3]] story' } })
    for (const ifBusy of ['enqueue', 'reject', undefined])
      t.match(await retry(live.runId, { body: { ifBusy } }), {
        status: 409,
        body: { code: 'conversation_busy', activeRunId: live.runId },
      })
    const { body: next, status } = await retry(live.runId, { body: { ifBusy: 'interrupt' } })
    t.equal(status, 202)
    t.match((await service.ended(live.runId)).body, { status: 'cancelled', supersededBy: next.runId })
    await service.call('POST', `${CHAT}/${next.runId}/cancel`)
    t.equal((await thread(live.conversationId)).length, 2)
    t.equal((await thread(live.conversationId, '?include=superseded')).length, 3)
  })

  t.test('gets one new run when several retries come at once', async (t) => {
    const { runId, conversationId } = (await answered({ message: 'What is 3 + 3?' })).body
    const all = await Promise.all(Array.from({ length: 8 }, () => retry(runId)))
    const accepted = all.filter(({ status }) => status === 202)
    t.equal(accepted.length, 1)
    for (const { status, body } of all.filter((answer) => answer !== accepted[0]))
      t.match({ status, body }, { status: 409, body: { code: 'turn_not_last' } })
    await service.ended(accepted[0]?.body.runId)
    t.equal((await thread(conversationId)).length, 2)
  })

  t.test('gives the same new run for the same key', async (t) => {
    const { runId } = (await answered({ message: 'What is 4 + 4?' })).body
    const headers = { 'idempotency-key': 'again' }
    const [one, other] = await Promise.all([retry(runId, { headers }), retry(runId, { headers })])
    t.equal(one.body.runId, other.body.runId)
    await service.ended(one.body.runId)
    const late = await retry(runId, { headers })
    t.equal(late.headers.get('idempotency-replayed'), 'true')
    t.equal(late.body.runId, one.body.runId)
    t.match(await retry(runId, { headers, body: { ifBusy: 'interrupt' } }), { status: 422 })
    t.match(await service.call('POST', CHAT, { headers, body: { message: 'hi' } }), { status: 422 })
    const [{ count } = { count: 0 }] = await query<{ count: number }>(
      service,
      `select count(*)::integer from runs where retry_of = '${runId}'`,
    )
    t.equal(count, 1)
  })

  t.test('belongs to its user, and needs the scope of a start', async (t) => {
    const { runId } = (await answered({ message: 'What is 5 + 5?' })).body
    t.match(await retry(runId, { user: 'eve' }), { status: 404, body: { code: 'run_not_found' } })
    t.match(await retry('run_unknown'), { status: 404, body: { code: 'run_not_found' } })
    t.match(await retry('unknown'), { status: 400 })
    t.match(await retry(runId, { body: { message: 'hi' } }), {
      status: 400,
      body: { code: 'invalid_request' },
    })
    t.match(await retry(runId, { headers: { authorization: '' } }), { status: 401 })
    const renamed = await retry(runId, { body: { metadata: { ticket: 'T-2' }, context: null } })
    t.match((await service.ended(renamed.body.runId)).body, { metadata: { ticket: 'T-2' } })
  })

  t.test('is told by the tag of the poll that its run was replaced', async (t) => {
    const { runId } = (await answered({ message: 'What is 6 + 6?' })).body
    const poll = (tag: string | null) =>
      service.call('GET', `${CHAT}/${runId}`, { headers: { 'if-none-match': tag ?? '' } })
    const before = (await service.call('GET', `${CHAT}/${runId}`)).headers.get('etag')
    t.equal((await poll(before)).status, 304)
    await service.ended((await retry(runId)).body.runId)
    const changed = await poll(before)
    t.match(changed, { status: 200, body: { text: '6 + 6 = 12.', supersededBy: /^run_/ } })
    t.equal((await poll(changed.headers.get('etag'))).status, 304)
  })

  t.test('goes with its conversation', async (t) => {
    const { runId, conversationId } = (await answered({ message: 'What is 7 + 7?' })).body
    const { body } = await retry(runId)
    await service.ended(body.runId)
    await service.call('DELETE', `/api/agent/conversations/${conversationId}`)
    t.match(await retry(body.runId), { status: 404, body: { code: 'run_not_found' } })
    const left = await query(
      service,
      `select from superseded_messages where conversation_id = '${conversationId}'`,
    )
    t.equal(left.length, 0)
  })
})
