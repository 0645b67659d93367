import t from 'tap'
import { openStream } from '../streams/sse.ts'
import { startService, token } from '../support/service.ts'

t.test('a turn', async (t) => {
  const service = await startService(t)
  const { call } = service
  const start = (body: unknown, headers: Record<string, string> = {}) =>
    call('POST', '/api/agent/chat', { body, headers })

  t.test('is accepted, answered and remembered by the next one', async (t) => {
    const first = await start({ message: 'What is 17 * 23?', metadata: { ticket: 'T-1' } })
    t.equal(first.status, 202)
    t.match(first.body, { runId: /^run_/, status: 'queued', conversationId: String })
    t.equal(first.headers.get('location'), `/api/agent/chat/${first.body.runId}`)
    const { body } = await service.ended(first.body.runId)
    t.match(body, {
      runId: first.body.runId,
      conversationId: first.body.conversationId,
      status: 'completed',
      text: '17 * 23 = 391.',
      metadata: { ticket: 'T-1' },
      toolCalls: [{ toolName: 'calculate', args: { expression: '17 * 23' }, result: { result: 391 } }],
    })
    t.same(
      body.messages.map((message: { role: string }) => message.role),
      ['user', 'assistant', 'tool', 'assistant'],
    )
    t.equal(body.usage.totalTokens, body.usage.inputTokens + body.usage.outputTokens)
    t.ok(body.usage.outputTokens > 0)
    t.ok(body.createdAt <= body.startedAt && body.startedAt <= body.finishedAt)

    const second = await start({
      message: 'What was my first question?',
      conversationId: first.body.conversationId,
    })
    t.equal(second.body.conversationId, first.body.conversationId)
    t.match((await service.ended(second.body.runId)).body.text, /What is 17 \* 23\?/)
  })

  t.test('started while another runs in the conversation waits for it and knows its answer', async (t) => {
    const first = await start({ message: 'Tell me a story of 40 sentences' })
    const { conversationId } = first.body
    const [second, third] = await Promise.all([
      start({ message: 'What is 2 + 3?', conversationId }),
      start({ message: 'What was my last question?', conversationId }),
    ])
    const queued = (await call('GET', `/api/agent/chat/${third.body.runId}`)).body
    if (queued.status === 'queued')
      t.ok(queued.queue.ahead.includes(second.body.runId) || queued.queue.ahead.includes(first.body.runId))
    const [a, b, c] = [
      await service.ended(first.body.runId),
      await service.ended(second.body.runId),
      await service.ended(third.body.runId),
    ]
    const order = [a, b, c].map(({ body }) => body).sort((x, y) => (x.startedAt < y.startedAt ? -1 : 1))
    t.equal(order[0].runId, first.body.runId)
    const [, x, y] = order
    t.ok(x.finishedAt <= y.startedAt, 'one after the other')
    const last = await call('GET', `/api/agent/conversations/${conversationId}/messages`)
    t.same(
      last.body.data.map((message: { role: string }) => message.role),
      ['user', 'assistant', 'user', 'assistant', 'user', 'assistant'],
    )
    const knows = c.body === y ? /2 \+ 3/ : /story of 40/
    t.match(c.body.text, knows, 'the one behind knows the one in front')
  })

  t.test('is refused with every fault of its body', async (t) => {
    const refused = async (body: unknown, ...paths: string[]) => {
      const answer = await start(body)
      t.equal(answer.status, 400, JSON.stringify(body).slice(0, 60))
      t.match(answer.headers.get('content-type'), /^application\/problem\+json/)
      t.match(answer.body, { code: 'invalid_request', retryable: false, error: answer.body.title })
      t.same(answer.body.errors.map((fault: { path: string }) => fault.path).sort(), paths.sort())
    }
    await refused({}, '/message')
    await refused({ message: '' }, '/message')
    await refused({ message: ' \n\t' }, '/message')
    await refused({ message: 5 }, '/message')
    await refused({ message: null }, '/message')
    await refused({ message: 'x'.repeat(100_001) }, '/message')
    await refused({ message: 'hi', extra: 1, more: 2 }, '/extra', '/more')
    await refused({ message: 'a\0b' }, '/message')
    await refused({ message: '\ud800' }, '/message')
    await refused({ message: 'hi', metadata: { a: '\0', 'b\udc00': 'x' } }, '/metadata', '/metadata/a')
    await refused({ message: 'hi', metadata: { a: 'x'.repeat(256), b: 1 } }, '/metadata/a', '/metadata/b')
    await refused({ message: 'hi', ifBusy: 'wait' }, '/ifBusy')
    await refused({ message: 'hi', history: 'none' }, '/history')
    await refused(
      {
        message: 'hi',
        history: [{ role: 'system', content: 'x' }, { role: 'user' }, { role: 'user', content: '', a: 1 }],
      },
      '/history/0/role',
      '/history/1/content',
      '/history/2/a',
    )
    await refused(
      { message: 'hi', history: Array.from({ length: 201 }, () => ({ role: 'user', content: 'x' })) },
      '/history',
    )
    await refused([], '')
    t.match(await start('{"message":'), { status: 400, body: { code: 'malformed_json' } })
    t.match(await start({ message: 'hi' }, { 'idempotency-key': 'x'.repeat(256) }), {
      status: 400,
      body: { errors: [{ in: 'header', path: '/idempotency-key' }] },
    })
  })

  t.test('may hold 100,000 characters and any text that Postgres can store', async (t) => {
    const message = `${'a'.repeat(99_990)} é😀\u2028 "\\`
    const started = await start({ message })
    t.equal(started.status, 202)
    await service.ended(started.body.runId)
    const { body } = await call('GET', `/api/agent/conversations/${started.body.conversationId}/messages`)
    t.equal(body.data[0].text, message, 'stored as sent')
  })

  t.test('that does not fit a payload is 413 before anything is stored', async (t) => {
    const user = 'large'
    const answer = await call('POST', '/api/agent/chat', { user, body: { message: '😀'.repeat(60_000) } })
    t.match(answer, { status: 413, body: { code: 'engine_payload_too_large', retryable: false } })
    t.same((await call('GET', '/api/agent/conversations', { user })).body.data, [])
  })

  t.test('fails with a code, a sentence and the partial answer', async (t) => {
    const started = await start({ message: 'Hello [[fail-after:3]]' })
    const { body } = await service.ended(started.body.runId)
    t.match(body, { status: 'failed', errorCode: /^provider_|^internal/, error: /\.$/, retryable: Boolean })
    t.notOk('messages' in body || 'toolCalls' in body)
    t.ok(body.text.split(' ').length >= 2, body.text)
    const { body: messages } = await call(
      'GET',
      `/api/agent/conversations/${started.body.conversationId}/messages`,
    )
    t.match(messages.data[1], { role: 'assistant', text: body.text, status: 'failed' })
    const next = await start({ message: 'What is 1 + 1?', conversationId: started.body.conversationId })
    t.match((await service.ended(next.body.runId)).body, { status: 'completed', text: '1 + 1 = 2.' })
  })

  t.test('whose worker dies fails as crashed, and the conversation goes on', async (t) => {
    const started = await start({ message: '[[crash]]' })
    t.match((await service.ended(started.body.runId)).body, {
      status: 'failed',
      errorCode: 'crashed',
      retryable: true,
    })
    const next = await start({ message: 'What is 1 + 1?', conversationId: started.body.conversationId })
    t.match((await service.ended(next.body.runId)).body, { status: 'completed' })
  })

  t.test('answers with U+FFFD where the model wrote U+0000 or a lone surrogate', async (t) => {
    for (const fault of ['[[nul]]', '[[surrogate]]']) {
      const started = await start({ message: fault })
      const { body } = await service.ended(started.body.runId)
      t.equal(body.status, 'completed', fault)
      t.match(body.text, /\ufffd/, fault)
      t.ok(body.text.isWellFormed() && !body.text.includes('\0'))
    }
  })

  t.test('is polled with a tag, and waited for', async (t) => {
    const started = await start({ message: 'Tell me a story of 30 sentences' })
    const path = `/api/agent/chat/${started.body.runId}`
    const running = await call('GET', path)
    t.equal(running.headers.get('cache-control'), 'private, no-cache')
    t.equal(running.headers.get('vary'), 'Authorization, X-Effective-User')
    t.equal(running.headers.get('retry-after'), '1')
    const tag = running.headers.get('etag') ?? ''
    t.match(tag, /^"[\w-]{27}"$/)

    const waited = await call('GET', `${path}?wait=30`, { headers: { 'if-none-match': tag } })
    t.equal(waited.status, 200)
    t.not(waited.headers.get('etag'), tag)
    const { headers, body } = await service.ended(started.body.runId)
    t.equal(body.status, 'completed')
    t.equal(headers.get('retry-after'), null)
    const last = headers.get('etag') ?? ''
    for (const value of [last, `W/${last}`, `"x", ${last}`, '*']) {
      const same = await call('GET', path, { headers: { 'if-none-match': value } })
      t.same([same.status, same.body, same.headers.get('etag')], [304, '', last], value)
    }
    t.equal(
      (await call('GET', `${path}?wait=30`, { headers: { 'if-none-match': tag } })).status,
      200,
      'at once',
    )
    for (const wait of ['31', '-1', 'x', '1.5']) {
      t.match(await call('GET', `${path}?wait=${wait}`), {
        status: 400,
        body: { errors: [{ path: '/wait', in: 'query' }] },
      })
    }
    t.match(await call('GET', `${path}?colour=red`), {
      status: 400,
      body: { errors: [{ path: '/colour', in: 'query' }] },
    })
  })

  t.test('has one message id in its stream, its poll and its conversation', async (t) => {
    for (const [message, status] of [
      ['What is 5 * 5?', 'completed'],
      ['[[fail-after:3]]', 'failed'],
      ['[[stall-after:3]]', 'cancelled'],
    ]) {
      const { body } = await start({ message })
      const stream = await openStream(service, `/api/agent/chat/${body.runId}/stream`)
      const first = await stream.until(({ chunk }) => chunk?.type === 'start')
      if (status === 'cancelled') {
        await stream.until(({ chunk }) => chunk?.type === 'text-delta')
        await call('POST', `/api/agent/chat/${body.runId}/cancel`)
      }
      const run = (await service.ended(body.runId)).body
      t.match(run, { status, messageId: first.chunk.messageId, text: /\w/ })
      const said = await call('GET', `/api/agent/conversations/${body.conversationId}/messages`)
      t.match(said.body.data[1], { id: run.messageId, role: 'assistant', runId: run.runId })
    }
    const { body } = await start({ message: '[[fail]]' })
    const silent = (await service.ended(body.runId)).body
    t.match(silent, { status: 'failed', text: '' })
    t.notOk('messageId' in silent)
  })

  t.test('is cancelled while it runs, keeps its partial answer, and may be cancelled again', async (t) => {
    const started = await start({ message: 'Tell me a story of 2000 sentences' })
    const path = `/api/agent/chat/${started.body.runId}`
    for (let run = started.body; run.status !== 'running'; ) run = (await call('GET', `${path}?wait=5`)).body
    const cancelled = await call('POST', `${path}/cancel`)
    t.equal(cancelled.status, 200)
    t.match(cancelled.body, { status: 'cancelled', cancelRequestedAt: String, text: String })
    const again = await call('POST', `${path}/cancel`)
    t.same(again.body, cancelled.body)
    t.same((await call('GET', path)).body, cancelled.body)
    const withBody = await call('POST', `${path}/cancel`, {
      body: '',
      headers: { 'content-type': 'application/json' },
    })
    t.equal(withBody.status, 200, 'an empty JSON body is none')
    const next = await start({ message: 'What is 3 * 3?', conversationId: started.body.conversationId })
    t.match((await service.ended(next.body.runId)).body, { status: 'completed', text: '3 * 3 = 9.' })
  })

  t.test('is cancelled while it waits, and the one in front goes on', async (t) => {
    const first = await start({ message: 'Tell me a story of 100 sentences' })
    const { conversationId } = first.body
    const second = await start({ message: 'What is 1 + 1?', conversationId })
    const cancelled = await call('POST', `/api/agent/chat/${second.body.runId}/cancel`)
    t.match(cancelled, { status: 200, body: { status: 'cancelled', text: '' } })
    t.equal((await service.ended(first.body.runId)).body.status, 'completed')
    const finished = await call('POST', `/api/agent/chat/${first.body.runId}/cancel`)
    t.match(finished, { status: 200, body: { status: 'completed' } }, 'a finished run is returned unchanged')
  })

  t.test('has an id that begins with run_, or is 400 without a look at database or engine', async (t) => {
    const statements = t.intercept(service.app.database, 'named')
    for (const id of ['1', 'RUN_1', 'xrun_1', '%00', `${'x'.repeat(5000)}`]) {
      for (const [method, suffix] of [
        ['GET', ''],
        ['POST', '/cancel'],
      ] as const) {
        const answer = await call(method, `/api/agent/chat/${id}${suffix}`)
        t.match(answer, {
          status: 400,
          body: { code: 'invalid_request', errors: [{ in: 'path', path: '/runId' }] },
        })
      }
    }
    t.same(statements(), [])
    t.match(await call('GET', `/api/agent/chat/run_${'x'.repeat(5000)}`), {
      status: 404,
      body: { code: 'run_not_found' },
    })
  })

  t.test('is found in lists by conversation, status, id and metadata', async (t) => {
    const user = 'lister'
    const runs: Array<{ runId: string; conversationId: string }> = []
    for (const [message, tag] of [
      ['What is 1 + 1?', 'a'],
      ['What is 2 + 2?', 'b'],
      ['[[fail]]', 'a'],
    ] as const) {
      const { body } = await call('POST', '/api/agent/chat', {
        user,
        body: { message, metadata: { tag, all: 'x' } },
      })
      await service.ended(body.runId, user)
      runs.unshift(body)
    }
    const list = async (query: string) =>
      (await call('GET', `/api/agent/chat${query}`, { user })).body.data.map(
        (run: { runId: string }) => run.runId,
      )
    const ids = runs.map((run) => run.runId)
    t.same(await list(''), ids, 'newest first')
    t.same(await list('?status=failed'), [ids[0]])
    t.same(await list('?status=failed,completed'), ids)
    t.same(await list('?metadata[tag]=a'), [ids[0], ids[2]])
    t.same(await list('?metadata[tag]=a&metadata[all]=y'), [])
    t.same(await list(`?runId=${ids[1]},${ids[2]},run_none`), [ids[1], ids[2]])
    t.same(await list(`?conversationId=${runs[1]?.conversationId}`), [ids[1]])
    const page = await call('GET', '/api/agent/chat?limit=2', { user })
    t.match(page.body, { hasMore: true, nextCursor: String })
    t.notOk('text' in page.body.data[0])
    t.same(await list(`?limit=2&cursor=${page.body.nextCursor}`), [ids[2]])
    t.match(await call('GET', `/api/agent/chat?status=failed&cursor=${page.body.nextCursor}`, { user }), {
      status: 400,
      body: { code: 'invalid_cursor' },
    })
    const conversationId = runs[0]?.conversationId ?? ''
    await call('POST', '/api/agent/chat', {
      user,
      body: { message: 'Hi', conversationId, metadata: { tag: 'a', all: 'x' } },
    })
    const filtered = `metadata[tag]=a&metadata[all]=x&status=failed,completed,queued,running&conversationId=${conversationId}`
    const { body } = await call('GET', `/api/agent/chat?limit=1&${filtered}`, { user })
    const reordered = `conversationId=${conversationId.toUpperCase()}&status=queued,running,completed,failed,failed&metadata[all]=x&metadata[tag]=a`
    t.same(await list(`?${reordered}&limit=1&cursor=${body.nextCursor}`), [ids[0]], 'the same filters')
    t.equal((await call('GET', '/api/agent/chat?status=done', { user })).status, 400)
    const longest = '😀'.repeat(255)
    const named = await call('POST', '/api/agent/chat', {
      user,
      body: { message: 'Hi', metadata: { [longest]: longest } },
    })
    const query = `?metadata[${encodeURIComponent(longest)}]=${encodeURIComponent(longest)}`
    t.same(await list(query), [named.body.runId])
    for (const path of [`/api/agent/chat/${named.body.runId}`, `/api/agent/chat${query}`]) {
      const { body } = await call('GET', path, { user })
      t.same((body.data?.[0] ?? body).metadata, { [longest]: longest }, path.slice(0, 20))
    }
    t.same((await call('GET', '/api/agent/chat', { user: 'stranger' })).body.data, [])
  })

  t.test('belongs to the effective user, with the actor beside it', async (t) => {
    const delegate = {
      authorization: `Bearer ${await token('gateway', { scope: 'agent:read agent:write agent:delegate' })}`,
    }
    const started = await start({ message: 'What is 4 + 4?' }, { ...delegate, 'x-effective-user': 'carol' })
    t.equal(started.status, 202)
    t.match((await service.ended(started.body.runId, 'carol')).body, { status: 'completed' })
    t.equal((await call('GET', `/api/agent/chat/${started.body.runId}`, { user: 'gateway' })).status, 404)
    const [row] = await service.app.database.named<{ user_id: string; actor: string }>(
      'test_actor',
      'select user_id, actor from turns where run_id = $1',
      [started.body.runId],
    )
    t.match(row, { user_id: 'carol', actor: /gateway/ })
    t.match(await start({ message: 'x' }, { 'x-effective-user': 'carol' }), {
      status: 403,
      body: { code: 'insufficient_scope' },
    })
  })
})

t.test('a limited caller gets 429 and is accepted exactly retryAfter seconds later', async (t) => {
  const { call } = await startService(t, {
    environment: { RATE_LIMIT_START_MAX: '2', RATE_LIMIT_WINDOW_SECONDS: '2' },
  })
  const start = () => call('POST', '/api/agent/chat', { body: { message: 'What is 1 + 1?' } })
  t.equal((await start()).status, 202)
  t.equal((await start()).status, 202)
  const refused = await start()
  t.match(refused, { status: 429, body: { code: 'rate_limited', retryable: true, retryAfter: Number } })
  t.equal(refused.headers.get('retry-after'), String(refused.body.retryAfter))
  t.match(refused.headers.get('ratelimit-policy'), /"start";q=2;w=2/)
  // The one place where time itself is under test.
  await new Promise((resolve) => setTimeout(resolve, refused.body.retryAfter * 1000))
  t.equal((await start()).status, 202)
})
