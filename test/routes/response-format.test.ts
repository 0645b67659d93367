import t from 'tap'
import { openStream, ready } from '../streams/sse.ts'
import { startService } from '../support/service.ts'

const CHAT = '/api/agent/chat'
const schema = { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] }
const format = (fields: object = {}) => ({ type: 'json_schema', name: 'city', schema, ...fields })
const BONN = { city: 'Bonn', note: '\u{1f600}' }
const ASKED = `Answer with ${JSON.stringify(BONN)}`

t.test('answers in a form', async (t) => {
  const service = await startService(t)
  await ready(service)
  const start = (body: object, headers: Record<string, string> = {}) =>
    service.call('POST', CHAT, { body: { message: ASKED, ...body }, headers })
  const sync = async (body: object) => (await service.call('POST', `${CHAT}/sync`, { body })).body

  t.test('the output is in poll and sync, and not in lists', async (t) => {
    const run = await sync({ message: ASKED, responseFormat: format() })
    t.match(run, { status: 'completed', finishReason: 'stop', text: JSON.stringify(BONN) })
    t.same(run.output, BONN)
    t.notOk('structured' in run)
    t.same((await service.call('GET', `${CHAT}/${run.runId}`)).body, run)
    const listed = (await service.call('GET', `${CHAT}?runId=${run.runId}`)).body.data[0]
    t.notOk('output' in listed || 'structured' in listed)
    const next = await sync({ message: ASKED, conversationId: run.conversationId })
    t.equal(next.text, JSON.stringify(BONN))
    t.notOk('output' in next, 'another turn of the conversation has no form')
  })

  t.test('a stream ends with the answer whose output the poll has', async (t) => {
    const body = {
      messages: [{ role: 'user', parts: [{ type: 'text', text: ASKED }] }],
      responseFormat: format(),
    }
    const stream = await openStream(service, `${CHAT}/stream`, { body })
    await stream.until(({ chunk }) => chunk?.type === 'finish')
    t.same((await service.ended(String(stream.headers.get('x-run-id')))).body.output, BONN)
  })

  t.test('an answer that does not fit fails the run, with its text', async (t) => {
    const run = await sync({ message: 'Hello', responseFormat: format() })
    t.match(run, { status: 'failed', errorCode: 'output_invalid', retryable: true, text: /Hello!/, steps: 2 })
    t.notOk('output' in run)
    const page = await service.call('GET', `/api/agent/conversations/${run.conversationId}/messages`)
    t.match(page.body.data[1], { status: 'failed', errorCode: 'output_invalid' })
  })

  t.test('an answer that a limit has cut has no output', async (t) => {
    const long = `Answer with ${JSON.stringify({ city: 'Bonn '.repeat(2000) })}`
    const run = await sync({ message: long, responseFormat: format(), limits: { maxTotalTokens: 3500 } })
    t.match(run, { status: 'completed', finishReason: 'token_limit', text: /^\{"city":"Bonn/ })
    t.notOk('output' in run)
  })

  t.test('a form that cannot be used is refused with its path', async (t) => {
    const at = '/responseFormat/schema'
    for (const [responseFormat, path] of [
      [format({ type: 'text' }), '/responseFormat/type'],
      [format({ name: 'a name' }), '/responseFormat/name'],
      [format({ strict: true }), '/responseFormat/strict'],
      [{ type: 'json_schema', name: 'city' }, at],
      [format({ schema: { type: 'array' } }), `${at}/type`],
      [
        format({ schema: { type: 'object', properties: { a: { type: 'strng' } } } }),
        `${at}/properties/a/type`,
      ],
      [format({ schema: { type: 'object', properties: { a: { $ref: '#' } } } }), `${at}/properties/a/$ref`],
      [
        format({ schema: { ...schema, $defs: { a: { $ref: 'https://example.com/a' } } } }),
        `${at}/$defs/a/$ref`,
      ],
      [format({ schema: { ...schema, description: 'x'.repeat(20_000) } }), at],
      [
        format({ schema: { type: 'object', properties: { constructor: {} } } }),
        `${at}/properties/constructor`,
      ],
    ] as [object, string][]) {
      const { status, body } = await start({ responseFormat })
      t.equal(status, 400, path)
      t.match(body, { code: 'invalid_request' })
      t.ok(
        body.errors.some((fault: { path: string }) => fault.path === path),
        JSON.stringify(body.errors),
      )
    }
  })

  t.test('the form is part of what an Idempotency-Key stands for', async (t) => {
    const headers = { 'idempotency-key': 'form' }
    const first = await start({ responseFormat: format() }, headers)
    t.equal((await start({ responseFormat: format() }, headers)).body.runId, first.body.runId)
    t.equal((await start({ responseFormat: format({ name: 'town' }) }, headers)).status, 422)
    t.equal((await start({}, headers)).status, 422)
  })
})
