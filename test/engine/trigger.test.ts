import type { IncomingHttpHeaders } from 'node:http'
import { tasks } from '@trigger.dev/sdk'
import { test } from 'tap'
import { AGENT_QUEUE, AGENT_TASK_ID } from '../../src/agent/turn.ts'
import { scopeOf } from '../../src/engine/trigger/sdk.ts'
import { answerJson, httpEngine, START, TURN } from './http-engine.ts'

test('a start asks Trigger.dev for what the SDK asks for, with a payload of plain JSON', async (t) => {
  const requests: Array<{ path: string; headers: IncomingHttpHeaders; body: Record<string, unknown> }> = []
  const { engine, apiUrl } = await httpEngine(t, async (request, response, path) => {
    let body = ''
    for await (const piece of request.setEncoding('utf8')) body += piece
    requests.push({ path, headers: request.headers, body: JSON.parse(body) })
    answerJson(response, { id: 'run_made', isCached: false })
  })
  t.equal(await engine.start(TURN, START), 'run_made')
  await scopeOf({ secretKey: 'tr_dev_test', apiUrl })(() =>
    tasks.trigger(AGENT_TASK_ID, TURN, {
      queue: AGENT_QUEUE,
      idempotencyKey: START.engineKey,
      idempotencyKeyTTL: `${START.keySeconds}s`,
      concurrencyKey: START.concurrencyKey,
      tags: START.tags,
      ttl: START.ttlSeconds,
      maxDuration: START.maxDurationSeconds,
      maxAttempts: 1,
    }),
  )
  const [ours, theirs] = requests
  t.equal(ours?.path, theirs?.path)
  const ofSdk = (headers: IncomingHttpHeaders = {}) =>
    Object.fromEntries(
      Object.entries(headers).filter(([name]) =>
        /^(authorization|content-type|traceparent|x-trigger-.*)$/.test(name),
      ),
    )
  const key = 'x-trigger-request-idempotency-key'
  t.match(ours?.headers[key], /^[0-9a-f-]{36}$/)
  t.same({ ...ofSdk(ours?.headers), [key]: '' }, { ...ofSdk(theirs?.headers), [key]: '' })
  const { payloadSize: _, ...options } = (theirs?.body.options ?? {}) as Record<string, unknown>
  t.same(ours?.body.options, { ...options, payloadType: 'application/json' })
  t.same(ours?.body.payload, TURN)
})

test('a payload that needs an object store goes the way of the SDK', async (t) => {
  const { engine, requests } = await httpEngine(t, (request, response, path) => {
    request.resume()
    if (path.includes('/packets/')) answerJson(response, { error: 'There is no object store.' }, 500)
    else answerJson(response, { id: 'run_made', isCached: false })
  })
  const text = 'x'.repeat(130 * 1024)
  const turn = { ...TURN, message: { ...TURN.message, parts: [{ type: 'text' as const, text }] } }
  await engine.start(turn, { ...START, deadlineMs: 2_000 }).catch(() => {})
  t.match(requests[0], /\/api\/v\d\/packets\//)
})

test('a start follows a redirect of the server, as the SDK does', async (t) => {
  const { engine, requests } = await httpEngine(t, (request, response, path) => {
    request.resume()
    if (path.includes('/moved/')) answerJson(response, { id: 'run_made', isCached: false })
    else response.writeHead(308, { location: `/moved${path}` }).end()
  })
  t.equal(await engine.start(TURN, START), 'run_made')
  t.match(requests.at(-1), /\/moved\//)
})
