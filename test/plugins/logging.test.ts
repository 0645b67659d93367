import { test } from 'tap'
import { until } from '../services/rows.ts'
import { logSink } from '../support/app.ts'
import { SECRET, startService, token } from '../support/service.ts'

const SAID = 'Zanzibar'

test('logs name request, run, conversation and user, and hold neither tokens nor what was said', async (t) => {
  const { logger, lines } = logSink()
  const environment = { LOG_LEVEL: 'trace', RATE_LIMIT_START_MAX: '8' }
  const service = await startService(t, { environment, logger })
  const message = `What is 17 * 23, dear ${SAID}?`
  const headers = { 'x-request-id': 'the-request', 'idempotency-key': `key-${SAID}` }
  const started = await service.call('POST', '/api/agent/chat', { body: { message }, headers })
  const { runId, conversationId } = started.body
  await service.ended(runId)
  const messages = [{ id: '1', role: 'user', parts: [{ type: 'text', text: message }] }]
  const stream = await service.call('POST', '/api/agent/chat/stream', { body: { messages } })
  await service.call('PATCH', `/api/agent/conversations/${conversationId}`, { body: { title: SAID } })
  await service.call('POST', '/api/agent/chat/sync', {
    body: { message, history: [{ role: 'user', content: SAID }] },
  })
  // Rubbish of many kinds, each refused in a place of its own.
  await service.call('POST', '/api/agent/chat', { body: `{"message": ${SAID}` })
  await service.call('POST', '/api/agent/chat', { body: { message: `${SAID}\u0000` } })
  await service.call('POST', '/api/agent/chat', { body: { message, conversationId: SAID } })
  await service.call('POST', '/api/agent/chat', { body: { message: `other ${SAID}` }, headers })
  await service.call('GET', `/api/agent/chat?cursor=${SAID}&metadata[${SAID}]=1`)
  const bad = await token('alice', {}, '-1h')
  await service.call('GET', `/api/agent/chat/${runId}`, { headers: { authorization: `Bearer ${bad}` } })
  service.app.log.error(
    { err: Object.assign(new Error('refused'), { detail: `Failing row contains (${SAID})`, code: '23514' }) },
    'a database error',
  )

  const said = (fields: object) =>
    lines.find((line) => Object.entries(fields).every(([key, of]) => line[key] === of))
  t.match(said({ requestId: 'the-request', status: 202 }), {
    method: 'POST',
    path: '/api/agent/chat',
    runId,
    conversationId,
    userId: 'alice',
    ms: Number,
    msg: 'answered',
  })
  t.match(said({ path: '/api/agent/chat/stream' }), {
    runId: stream.headers.get('x-run-id'),
    conversationId: stream.headers.get('x-conversation-id'),
  })
  t.match(said({ msg: 'a database error' })?.err, { message: 'refused', code: '23514' })
  const all = JSON.stringify(lines)
  t.notMatch(all, SAID)
  t.notMatch(all, /17 \* 23/)
  for (const secret of [bad, await token('alice'), SECRET, service.engine.secretKey, 'Bearer']) {
    t.notMatch(all, secret.split('.').at(-1) ?? secret)
  }
})

test('a stream that breaks off is logged with what is known of it, and with who ended it', async (t) => {
  const { logger, lines } = logSink()
  const service = await startService(t, { environment: { LOG_LEVEL: 'info' }, logger })
  const messages = [{ id: '1', role: 'user', parts: [{ type: 'text', text: '[[stall-after:3]] story' }] }]
  const open = async (signal: AbortSignal | null) => {
    const { headers } = await fetch(`${service.url}/api/agent/chat/stream`, {
      method: 'POST',
      headers: { authorization: `Bearer ${await token('alice')}`, 'content-type': 'application/json' },
      body: JSON.stringify({ messages }),
      signal,
    })
    const runId = headers.get('x-run-id')
    return {
      runId,
      conversationId: headers.get('x-conversation-id'),
      status: 200,
      userId: 'alice',
      ms: Number,
    }
  }
  const lineOf = async (runId: string | null) =>
    until(async () => lines.find((line) => line.runId === runId && line.path === '/api/agent/chat/stream'))

  const leaving = new AbortController()
  const left = await open(leaving.signal)
  leaving.abort()
  t.match(await lineOf(left.runId), { ...left, msg: 'the client went away' })
  const cut = await open(null)
  await service.close()
  t.match(await lineOf(cut.runId), { ...cut, msg: 'cut by the drain' })
})

test('probes are in the log for debugging alone', async (t) => {
  const { logger, lines } = logSink()
  const service = await startService(t, { environment: { LOG_LEVEL: 'debug' }, logger })
  for (const path of ['/livez', '/readyz?now', '/problems/internal']) await service.call('GET', path)
  const levels = lines.flatMap(({ msg, path, level }) => (msg === 'answered' ? [[path, level]] : []))
  t.strictSame(levels, [
    ['/livez', 20],
    ['/readyz', 20],
    ['/problems/internal', 30],
  ])
})

test('LOG_CONTENT lets what was said into the log', async (t) => {
  const { logger, lines } = logSink()
  const service = await startService(t, { environment: { LOG_LEVEL: 'info', LOG_CONTENT: 'true' }, logger })
  const message = `What is 17 * 23?`
  const { body } = await service.call('POST', '/api/agent/chat', { body: { message } })
  const poll = await service.ended(body.runId)
  t.match(
    lines.find(({ status }) => status === 202),
    { asked: { message }, runId: body.runId },
  )
  t.ok(
    lines.some(({ text, runId }) => text === poll.body.text && runId === body.runId),
    'the answer too',
  )
})
