import { once } from 'node:events'
import { type Test, test } from 'tap'
import { AgentChat } from '../../clients/typescript/src/index.ts'
import { cut, html, json, problem, type Step, silence, startScriptedServer } from './scripted-server.ts'

const started = json(202, { runId: 'run_1', status: 'queued' })
const running = json(200, { runId: 'run_1', status: 'running' }, { etag: '"1"', 'retry-after': '1' })
const ended = json(200, { runId: 'run_1', status: 'completed', text: 'yes' })

async function clientOf(t: Test, ...steps: Step[]) {
  const { url, requests } = await startScriptedServer(t, ...steps)
  let tokens = 0
  const chat = new AgentChat({ url: `${url}/`, token: async () => `token-${++tokens}`, user: 'Zoë' })
  return { chat, requests }
}

test('all attempts of a start have one key, and each has a token of its own', async (t) => {
  const { chat, requests } = await clientOf(t, cut, html(503), problem(503, 'shutting_down'), cut, started)
  t.same(await chat.start({ message: 'hi' }), { runId: 'run_1', status: 'queued' })
  const keys = new Set(requests.map(({ headers }) => headers['idempotency-key']))
  t.equal(keys.size, 1)
  t.match([...keys][0], /^[0-9a-f-]{36}$/)
  // Node repeats a request by itself whose connection was closed before its answer.
  const tokens = new Set(requests.map(({ headers }) => headers.authorization))
  t.same(
    [...tokens],
    [1, 2, 3, 4, 5].map((index) => `Bearer token-${index}`),
  )
  for (const { headers } of requests)
    t.equal(Buffer.from(String(headers['x-effective-user']), 'latin1').toString(), 'Zoë')
  await chat.start({ message: 'hi' })
  t.notSame(requests.at(-1)?.headers['idempotency-key'], [...keys][0], 'another start has another key')
})

test('what cannot succeed, or not in time, is not repeated', async (t) => {
  for (const [step, error] of [
    [problem(422, 'idempotency_key_mismatch'), { code: 'idempotency_key_mismatch', attempts: 1 }],
    [problem(409, 'conversation_busy', { retryable: true }), { code: 'conversation_busy', attempts: 1 }],
    [problem(429, 'budget_exhausted', { retryAfter: 3600 }), { retryAfter: 3600, attempts: 1 }],
    [html(404), { code: 'unexpected_answer', status: 404, retryable: false }],
    [json(400, { error: 'another service' }), { code: 'unexpected_answer', status: 400 }],
  ] as const) {
    const { chat, requests } = await clientOf(t, step)
    const refusal = await chat.start({ message: 'hi' }).catch((refusal: unknown) => refusal)
    t.match(refusal, error)
    t.equal(requests.length, 1)
  }
})

test('a deadline ends the attempts, with the last error; one that hangs counts as lost', async (t) => {
  const away = await clientOf(t, problem(503, 'engine_unavailable'))
  await t.rejects(away.chat.start({ message: 'hi' }, { deadlineMs: 400 }), { code: 'engine_unavailable' })
  t.ok(away.requests.length > 1)
  const hanging = await clientOf(t, silence)
  await t.rejects(hanging.chat.get('run_1', { deadlineMs: 200 }), { code: 'connection_failed' })
  const rubbish = await clientOf(t, html(200))
  await t.rejects(rubbish.chat.get('run_1', { deadlineMs: 200 }), { code: 'connection_failed' })
})

test('what has no key is not sent again when its answer was lost', async (t) => {
  const { chat, requests } = await clientOf(t, problem(503, 'shutting_down'), silence)
  const created = chat.conversations.create({}, { deadlineMs: 700 })
  await t.rejects(created, { code: 'connection_failed', attempts: 2 })
  t.equal(requests.length, 2, 'a refusal has created nothing, so the request is repeated after it')
})

test('a conversation that an earlier attempt has deleted is deleted; one that never was there is not', async (t) => {
  const gone = problem(404, 'conversation_not_found')
  const lost = await clientOf(t, html(502), gone)
  await t.resolves(lost.chat.conversations.delete('c'))
  const never = await clientOf(t, gone)
  await t.rejects(never.chat.conversations.delete('c'), { code: 'conversation_not_found' })
})

test('a wait polls with the last tag, at most once in Retry-After while nothing changes, and tells of changes', async (t) => {
  const same: Step = (_, response) => void response.writeHead(304, { etag: '"1"', 'retry-after': '1' }).end()
  const { chat, requests } = await clientOf(t, running, same, ended)
  const seen: string[] = []
  const begin = performance.now()
  const run = await chat.wait('run_1', { onUpdate: ({ status }) => seen.push(status) })
  t.match(run, { status: 'completed', text: 'yes' })
  t.same(seen, ['running'])
  t.same(
    requests.map(({ headers }) => headers['if-none-match']),
    [undefined, '"1"', '"1"'],
  )
  t.match(requests[0]?.url, /wait=30$/)
  t.ok(performance.now() - begin > 900)
})

test('a wait ends at its deadline, and says that the run goes on', async (t) => {
  const same: Step = (_, response) => void response.writeHead(304, { 'retry-after': '5' }).end()
  const { chat } = await clientOf(t, running, same)
  await t.rejects(chat.wait('run_1', { deadlineMs: 300 }), {
    code: 'deadline_exceeded',
    message: /It goes on/,
  })
})

test('a signal ends every call with its reason: in a request, in a pause, in a stream', async (t) => {
  const reason = new Error('enough')
  for (const steps of [[silence], [problem(503, 'shutting_down', { retryAfter: 30 })]]) {
    const { chat } = await clientOf(t, ...steps)
    const controller = new AbortController()
    const call = chat.run({ message: 'hi' }, { signal: controller.signal })
    setTimeout(() => controller.abort(reason), 100)
    await t.rejects(call, reason)
  }
  const open: Step = (_, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    response.write('id: 0\ndata: {"type":"start"}\n\n')
  }
  const { chat, requests } = await clientOf(t, open)
  const controller = new AbortController()
  const read = async () => {
    for await (const _chunk of chat.follow('run_1', { signal: controller.signal })) controller.abort(reason)
  }
  await t.rejects(read(), reason)
  if (!requests[0]?.socket.destroyed) await once(requests[0]?.socket ?? t, 'close')
})

test('a stream is read by the rules of server-sent events, and goes on with the last whole event', async (t) => {
  const first: Step = async (_, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    const text =
      ': hello\n\nid: 0\r\ndata: {"type":\r\ndata: "start"}\r\n\r\nid:1\rdata:{"type":"Zoë"}\r\rid: 2\ndata: {"t'
    for (const byte of Buffer.from(text))
      await new Promise((resolve) => response.write(Buffer.of(byte), resolve))
    response.socket?.destroy()
  }
  const second: Step = (_, response) =>
    void response
      .writeHead(200, { 'content-type': 'text/event-stream' })
      .end('id: 2\ndata: {"type":"finish"}\n\nid: 3\ndata: [DONE]\n\n')
  const { chat, requests } = await clientOf(t, first, second)
  const stream = chat.follow('run_1')
  const types: string[] = []
  for await (const { type } of stream) types.push(type)
  t.same(types, ['start', 'Zoë', 'finish'])
  t.equal(requests[1]?.headers['last-event-id'], '1')
  t.equal(stream.lastEventId, '3')
})

test('a stream whose frames are no longer kept rejects with the code of the problem', async (t) => {
  const { chat } = await clientOf(t, problem(410, 'stream_expired'))
  const read = async () => {
    for await (const _chunk of chat.follow('run_1')) t.fail('there is no chunk')
  }
  await t.rejects(read(), { code: 'stream_expired' })
})
