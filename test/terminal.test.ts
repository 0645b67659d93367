import { test } from 'tap'
import { loadConfig } from '../src/config/config.ts'
import { startLines } from '../src/lifecycle/start-lines.ts'
import { readable } from '../src/telemetry/terminal.ts'

test('an entry of the log is a line for people in a terminal', async (t) => {
  const base = { level: 30, time: 1_796_000_000_000, pid: 7, hostname: 'h', requestId: 'r1' }
  t.equal(
    readable({
      ...base,
      method: 'GET',
      path: '/livez',
      status: 200,
      ms: 3,
      msg: 'answered',
      userId: 'alice',
    }),
    'GET /livez 200 3 ms userId=alice',
    'what was answered is said once',
  )
  t.equal(
    readable({ ...base, method: 'GET', path: '/api/agent/chat', ms: 20, msg: 'the client went away' }),
    'GET /api/agent/chat without an answer 20 ms the client went away',
  )
  t.equal(
    readable({ ...base, signal: 'SIGINT', msg: 'received SIGINT: ending' }),
    'received SIGINT: ending signal=SIGINT',
  )
  const cause = new Error('the cause')
  const err = new TypeError('it broke', { cause })
  const lines = readable({
    ...base,
    msg: 'it broke',
    err: { stack: err.stack, message: err.message, cause },
  }).split('\n')
  t.equal(lines[0], 'it broke')
  t.equal(lines[1], '    TypeError', 'what the line says is not repeated')
  t.match(lines[2], /^ {8}at .*terminal\.test\.ts/, 'a stack has a line for each frame')
  t.ok(lines.some((line) => line === '    Error: the cause'))
})

test('the lines of a start name what runs embedded, which model answers, and what to try', async (t) => {
  const parts = [
    { name: 'embedded Postgres', where: 'data in /x/.data' },
    { name: 'local run engine', where: "http://127.0.0.1:3040 (speaks Trigger.dev's API)" },
    { name: 'model', where: 'offline' },
  ]
  const lines = startLines('http://127.0.0.1:3000', loadConfig({}), parts)
    .split('\n')
    .map((line) => line.trim())
  t.same(lines.slice(1, 8), [
    'agent-chat-service  http://localhost:3000',
    'API description     http://localhost:3000/docs',
    'playground          http://localhost:3000/playground',
    'embedded Postgres   data in /x/.data',
    "local run engine    http://127.0.0.1:3040 (speaks Trigger.dev's API)",
    'model               offline',
    '',
  ])
  t.match(
    lines.join('\n'),
    /curl -s http:\/\/localhost:3000\/api\/agent\/chat .*npm run -s token -- --sub alice/,
  )
})
