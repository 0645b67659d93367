import { once } from 'node:events'
import t, { type Test } from 'tap'
import { tellStory } from '../../src/agent/offline/story.ts'
import { openStream, ready, textOf } from '../streams/sse.ts'
import { startEngine, startService, token } from '../support/service.ts'

t.test('a synchronous turn', async (t) => {
  const engine = await startEngine(t, { childEnv: { AGENT_OFFLINE_WORD_MS: '20' } })
  const service = await startService(t, { engine })
  await ready(service)
  const sync = (message: string, headers: Record<string, string> = {}) =>
    service.call('POST', '/api/agent/chat/sync', { body: { message }, headers })
  const long = 'Tell me a story of 12 sentences'

  t.test('answers with what a poll of the finished run says', async (t) => {
    const answer = await sync('What is 17 * 23?')
    t.equal(answer.status, 200)
    t.match(answer.body, { status: 'completed', text: '17 * 23 = 391.', conversationId: String })
    t.equal(answer.headers.get('location'), `/api/agent/chat/${answer.body.runId}`)
    t.equal(answer.headers.get('preference-applied'), null)
    const poll = await service.call('GET', `/api/agent/chat/${answer.body.runId}`)
    t.same(answer.body, poll.body)
    t.equal(answer.headers.get('etag'), poll.headers.get('etag'))
  })

  t.test('answers with a failed run as it is', async (t) => {
    const answer = await sync('[[fail-after:5]] Tell me a story')
    t.equal(answer.status, 200)
    t.match(answer.body, { status: 'failed', errorCode: 'provider_error', error: String, text: /\w/ })
  })

  t.test('answers like a start when the time is up, and the run completes', async (t) => {
    // 20 ms a word: some five seconds.
    const message = 'Tell me a story of 30 sentences'
    const answer = await sync(message, { prefer: 'respond-async, wait=1' })
    t.equal(answer.status, 202)
    const { runId, conversationId } = answer.body
    t.same(answer.body, { runId, status: 'queued', conversationId })
    t.equal(answer.headers.get('preference-applied'), 'wait=1')
    t.equal(answer.headers.get('location'), `/api/agent/chat/${runId}`)
    t.match(answer.headers.get('retry-after'), /^\d+$/)
    const poll = await service.call('GET', answer.headers.get('location') ?? '')
    t.match(poll.body.status, /^(queued|running)$/, 'it goes on')
    const { body } = await service.ended(runId)
    t.match(body, { status: 'completed', text: tellStory(30, message) })
    const seconds = (Date.parse(body.finishedAt) - Date.parse(body.startedAt)) / 1000
    t.ok(seconds >= 4, `it took ${seconds} s`)
  })

  t.test('grants at most 300 s and ignores preferences that cannot be read', async (t) => {
    const applied = async (prefer: string) =>
      (await sync('Hello', { prefer })).headers.get('preference-applied')
    for (const wait of ['9999', '00000000301', '9'.repeat(30)])
      t.equal(await applied(`wait=${wait}`), 'wait=300')
    t.equal(await applied('Wait = "7"; odd=1, wait=3'), 'wait=7')
    for (const prefer of ['wait', 'wait=-1', 'wait=1.5', 'wait=ten', 'wait=', 'waiting=3'])
      t.equal(await applied(prefer), null, prefer)
    t.equal((await sync(long, { prefer: 'wait=0' })).status, 202)
    // Node's limit for receiving a request does not count the answer; this one would.
    t.equal(service.app.server.timeout, 0, 'no limit cuts a wait of 300 s')
  })

  t.test('answers a repeated key with the same run, and a mismatch with 422', async (t) => {
    const headers = { 'idempotency-key': 'sync-1' }
    const [first, second] = await Promise.all([
      sync('What is 2 + 2?', headers),
      sync('What is 2 + 2?', headers),
    ])
    t.equal(first.body.text, '2 + 2 = 4.')
    t.same(first.body, second.body)
    t.same(
      [first, second].map(({ headers }) => headers.get('idempotency-replayed')).sort(),
      ['true', null].sort(),
    )
    t.match((await sync('What is 2 + 3?', headers)).body, { code: 'idempotency_key_mismatch' })
  })

  /** What the wait of the next request comes to. */
  const nextWait = (t: Test) => {
    const { runs } = service.app.services
    const { endWithin } = runs
    const wait = Promise.withResolvers<Awaited<ReturnType<typeof endWithin>>>()
    t.intercept(runs, 'endWithin', {
      value: async (...args: Parameters<typeof endWithin>) => {
        const run = await endWithin(...args)
        wait.resolve(run)
        return run
      },
    })
    return wait.promise
  }

  t.test('goes on without the client that asked for it, and waits no longer', async (t) => {
    const wait = nextWait(t)
    const client = new AbortController()
    const body = { message: long, metadata: { client: 'gone' } }
    const asked = service.call('POST', '/api/agent/chat/sync', { body, signal: client.signal })
    const own = '/api/agent/chat?metadata[client]=gone'
    let listed = await service.call('GET', own)
    while (listed.body.data[0]?.status !== 'running') listed = await service.call('GET', own)
    client.abort()
    await t.rejects(asked)
    t.equal(await wait, undefined, 'the run had not ended')
    t.match((await service.ended(listed.body.data[0].runId)).body, { status: 'completed', text: /\w/ })
  })

  t.test('does not wait for a caller who left while the turn was being started', async (t) => {
    const { stores, server } = service.app
    const client = new AbortController()
    const left = once(server, 'request').then(([request]) => once(request.socket, 'close'))
    const { start } = stores.turns
    t.intercept(stores.turns, 'start', {
      value: async (...args: Parameters<typeof start>) => {
        const outcome = await start(...args)
        client.abort()
        await left
        return outcome
      },
    })
    const wait = nextWait(t)
    await t.rejects(
      service.call('POST', '/api/agent/chat/sync', { body: { message: long }, signal: client.signal }),
    )
    t.equal(await wait, undefined, 'the run had not ended')
  })

  t.test('is not found any more when its conversation is deleted while it waits', async (t) => {
    const body = { message: 'Tell me a story of 200 sentences', metadata: { is: 'deleted' } }
    const asked = service.call('POST', '/api/agent/chat/sync', { body, headers: { prefer: 'wait=300' } })
    const own = '/api/agent/chat?metadata[is]=deleted'
    let listed = await service.call('GET', own)
    while (listed.body.data[0]?.status !== 'running') listed = await service.call('GET', own)
    const { runId, conversationId } = listed.body.data[0]
    const polling = service.call('GET', `/api/agent/chat/${runId}?wait=30`, {
      headers: {
        'if-none-match': (await service.call('GET', `/api/agent/chat/${runId}`)).headers.get('etag') ?? '',
      },
    })
    t.equal((await service.call('DELETE', `/api/agent/conversations/${conversationId}`)).status, 204)
    const answer = await asked
    t.match(answer, { status: 404, body: { code: 'run_not_found' } })
    t.equal(answer.headers.get('preference-applied'), 'wait=300')
    t.match(await polling, { status: 404, body: { code: 'run_not_found' } }, 'and so is a long poll')
  })

  t.test('wants the same body and scope as a start', async (t) => {
    const bad = await service.call('POST', '/api/agent/chat/sync', { body: { message: ' ', extra: 1 } })
    t.match(bad, { status: 400, body: { code: 'invalid_request' } })
    t.same(bad.body.errors.map((fault: { path: string }) => fault.path).sort(), ['/extra', '/message'])
    const authorization = `Bearer ${await token('alice', { scope: 'agent:read' })}`
    t.match(await sync('Hello', { authorization }), { status: 403, body: { code: 'insufficient_scope' } })
  })
})

t.test('a service that drains lets its waiting requests go', async (t) => {
  const engine = await startEngine(t, { childEnv: { AGENT_OFFLINE_WORD_MS: '20' } })
  const draining = await startService(t, { engine })
  const other = await startService(t, { engine, databaseUrl: draining.databaseUrl })
  await ready(draining, other)
  const body = { message: 'Tell me a story of 12 sentences' }
  const waiting = draining.call('POST', '/api/agent/chat/sync', { body })
  let listed = await other.call('GET', '/api/agent/chat')
  while (listed.body.data[0]?.status !== 'running') listed = await other.call('GET', '/api/agent/chat')
  await draining.close()
  const answer = await waiting
  t.match(answer, { status: 202, body: { runId: listed.body.data[0].runId, status: 'queued' } })
  const rest = await openStream(other, `/api/agent/chat/${answer.body.runId}/stream`)
  t.equal(await rest.closed, 'end', 'its stream goes on elsewhere')
  t.match((await other.ended(answer.body.runId)).body, { status: 'completed', text: textOf(rest.events) })
})
