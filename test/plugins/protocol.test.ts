import { once } from 'node:events'
import { METHODS } from 'node:http'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { Readable } from 'node:stream'
import { type Test, test } from 'tap'
import { PROBLEMS, type ProblemCode } from '../../src/errors.ts'
import { testApp } from '../support/app.ts'
import { bearer } from '../support/tokens.ts'

/** The service on a port, and what it says to bytes that an HTTP client would not send. */
async function listening(t: Test) {
  const app = testApp(t)
  await app.listen({ host: '127.0.0.1', port: 0 })
  const { port } = app.server.address() as AddressInfo
  const dial = () => connect(port, '127.0.0.1')
  const send = async (text: string) => {
    const socket = dial()
    socket.write(text)
    return (await socket.toArray()).join('')
  }
  return { app, dial, send }
}

/** Holds an answer to the shape that every refusal has (docs/api.md#2-errors). */
function isProblem(t: Test, answer: string, code: ProblemCode, instance = '') {
  const [head = '', body = ''] = answer.split('\r\n\r\n')
  const headers = new Map(
    head
      .split('\r\n')
      .slice(1)
      .map((line) => [line.slice(0, line.indexOf(':')).toLowerCase(), line.slice(line.indexOf(':') + 2)]),
  )
  const { status, title, retryable } = PROBLEMS[code]
  t.match(head, new RegExp(`^HTTP/1\\.1 ${status} `), code)
  t.match(headers.get('content-type'), /^application\/problem\+json/, code)
  t.equal(Number(headers.get('content-length')), Buffer.byteLength(body), code)
  t.match(
    JSON.parse(body),
    {
      type: `/problems/${code}`,
      title,
      status,
      detail: String,
      instance,
      code,
      error: title,
      retryable,
      requestId: headers.get('x-request-id') ?? 'a request id',
    },
    code,
  )
}

const HEAD = 'Host: localhost\r\nConnection: close\r\n'

test('a run id of any length is 400 or 404, and headers that exceed all measure are 431', async (t) => {
  const { send } = await listening(t)
  const get = (path: string) =>
    send(`GET ${path} HTTP/1.1\r\n${HEAD}Authorization: ${bearer().authorization}\r\n\r\n`)
  const long = 'x'.repeat(100_000)
  const shown = (path: string) => `${path.slice(0, 512)}…`
  isProblem(t, await get(`/api/agent/chat/${long}`), 'invalid_request', shown(`/api/agent/chat/${long}`))
  // The database of this test is away: the id was taken for one.
  isProblem(
    t,
    await get(`/api/agent/chat/run_${long}`),
    'database_unavailable',
    shown(`/api/agent/chat/run_${long}`),
  )
  isProblem(t, await get(`/api/agent/chat/run_${'x'.repeat(200_000)}`), 'headers_too_large')
})

test('bytes that are no HTTP request are refused with problem+json', async (t) => {
  const { send } = await listening(t)
  for (const text of [
    `FOO /api/agent/chat HTTP/1.1\r\n${HEAD}\r\n`,
    'hello\r\n\r\n',
    `GET /livez HTTP/9.9\r\n${HEAD}\r\n`,
    `GET /livez HTTP/1.1\r\n${HEAD}bad header\r\n\r\n`,
    `POST /api/agent/chat HTTP/1.1\r\n${HEAD}Content-Length: 1\r\nContent-Length: 2\r\n\r\n{}`,
    `CONNECT localhost:80 HTTP/1.1\r\n${HEAD}\r\n`,
  ]) {
    isProblem(t, await send(text), 'malformed_http')
  }
  isProblem(t, await send('GET /livez HTTP/1.1\r\nConnection: close\r\n\r\n'), 'malformed_http', '/livez')
  t.match(await send('GET /livez HTTP/1.0\r\n\r\n'), /^HTTP\/1\.1 200 /, 'HTTP/1.0 knows no Host')
})

test('an expectation that no server can meet is 417, before any token is read', async (t) => {
  const { send } = await listening(t)
  const start = (expect: string) =>
    send(`POST /api/agent/chat HTTP/1.1\r\n${HEAD}Expect: ${expect}\r\nContent-Length: 2\r\n\r\n{}`)
  isProblem(t, await start('a miracle'), 'expectation_failed', '/api/agent/chat')
  t.match(await start('100-Continue'), /^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 401 /)
})

test('a request that does not arrive in time is 408, unless its answer has begun', async (t) => {
  const { app, dial } = await listening(t)
  const late = Object.assign(new Error('late'), { code: 'ERR_HTTP_REQUEST_TIMEOUT' })
  const accepted = async () => {
    const socket = dial()
    const [ours] = (await once(app.server, 'connection')) as [Socket]
    return { socket, ours }
  }
  const half = await accepted()
  half.socket.write('GET /livez HTTP/1.1\r\nHo')
  app.server.emit('clientError', late, half.ours)
  app.server.emit('clientError', late, half.ours)
  isProblem(t, (await half.socket.toArray()).join(''), 'request_timeout')

  const whole = await accepted()
  app.server.once('request', (_request, response) => {
    response.flushHeaders()
    app.server.emit('clientError', late, whole.ours)
  })
  whole.socket.on('error', () => {}) // It is broken off.
  whole.socket.write(`GET /livez HTTP/1.1\r\n${HEAD}\r\n`)
  const answer = await whole.socket.toArray().catch(() => [])
  t.notMatch(answer.join(''), /problem/, 'no second answer in the middle of the first')
})

test('every method that Node can read is answered: 405 with Allow where there is something, else 404', async (t) => {
  const { app } = await listening(t)
  // Fastify wants to hear of QUERY what it asks with.
  const headers = { 'content-type': 'application/json' }
  const inject = (method: string, url: string) => app.inject({ method: method as 'GET', url, headers })
  for (const method of METHODS.filter(
    (name) => !['GET', 'HEAD', 'POST', 'OPTIONS', 'CONNECT'].includes(name),
  )) {
    const answer = await inject(method, '/api/agent/chat')
    t.equal(answer.statusCode, 405, method)
    t.equal(answer.json().code, 'method_not_allowed', method)
    t.same(String(answer.headers.allow).split(', ').sort(), ['GET', 'HEAD', 'OPTIONS', 'POST'], method)
    t.equal((await inject(method, '/nowhere')).statusCode, 404, method)
  }
})

test('HEAD is not offered on long polls and streams', async (t) => {
  const { app } = await listening(t)
  for (const path of ['/api/agent/chat/run_1', '/api/agent/chat/run_1/stream', '/api/agent/events']) {
    const head = await app.inject({ method: 'HEAD', url: path, headers: bearer() })
    t.equal(head.statusCode, 405, path)
    t.equal(head.headers.allow, 'GET, OPTIONS', path)
  }
})

test('a request that two readers could take for different ones is refused, and its connection ends', async (t) => {
  const { send } = await listening(t)
  const start = (headers: string, version = '1.1') =>
    send(`POST /api/agent/chat HTTP/${version}\r\n${headers}\r\n`)
  for (const [what, answer] of Object.entries({
    'two hosts': await send('GET /livez HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n'),
    'the same host twice': await send('GET /livez HTTP/1.1\r\nHost: a\r\nhOsT: a\r\n\r\n'),
    'two hosts in one header': await send('GET /livez HTTP/1.1\r\nHost: a, b\r\n\r\n'),
    'a host with a path': await send('GET /livez HTTP/1.1\r\nHost: a/b\r\n\r\n'),
    'HTTP/0.9': await send('GET /livez HTTP/0.9\r\nHost: a\r\n\r\n'),
    'HTTP/2.0 in the words of HTTP/1': await send('GET /livez HTTP/2.0\r\nHost: a\r\n\r\n'),
    'gzip in chunks': await start('Host: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n'),
    'chunks twice': await start('Host: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n'),
    'chunks in HTTP/1.0': await start('Transfer-Encoding: chunked\r\n\r\n0\r\n', '1.0'),
  })) {
    t.match(answer, /^HTTP\/1\.1 400 .*"code":"malformed_http"/s, what)
    t.match(answer, /\r\nconnection: close\r\n/i, what)
  }
  const fine = await start(`${HEAD}Transfer-Encoding: Chunked\r\n\r\n0\r\n`)
  t.match(fine, /^HTTP\/1\.1 401 /, 'chunks alone are read, in any case')
})

test('an unknown address is 404 before the body is read, and an unknown method is 405', async (t) => {
  const { app } = await listening(t)
  const body = '['.repeat(1000)
  for (const [method, url, status] of [
    ['POST', '/nope', 404],
    ['PUT', '/nope', 404],
    ['DELETE', '/nope', 404],
    ['POST', '/docs/x', 404],
    ['POST', '/api/agent/chat/', 404],
    ['POST', '/livez', 405],
    ['POST', '/docs', 405],
    ['POST', '/docs/static/index.css', 405],
    ['POST', '/problems/internal', 405],
    ['PUT', '/api/agent/chat', 405],
    ['POST', '/api/agent/chat', 401],
    ['PATCH', '/api/agent/conversations/x', 401],
  ] as const) {
    for (const type of ['application/json', 'text/plain', 'rubbish']) {
      const payload = new Readable({ read() {} })
      payload.push(body)
      // The body never ends: an answer that waited for it would never come.
      const answer = await app.inject({
        method,
        url,
        headers: { 'content-type': type, 'transfer-encoding': 'chunked' },
        payload,
        payloadAsStream: true,
      })
      t.equal(answer.statusCode, status, `${method} ${url} ${type}`)
      answer.raw.res.destroy()
      payload.destroy()
    }
  }
})

test('a target in absolute form is its path, and no refusal names a foreign address', async (t) => {
  const { send } = await listening(t)
  const get = (target: string) => send(`GET ${target} HTTP/1.1\r\n${HEAD}\r\n`)
  t.match(await get('http://evil.example/livez'), /^HTTP\/1\.1 200 /)
  isProblem(t, await get('http://evil.example/api/agent/chat?limit=1'), 'unauthorized', '/api/agent/chat')
  isProblem(t, await get('HTTPS://evil.example/nope'), 'not_found', '/nope')
  for (const target of ['http://evil.example', 'http://evil.example?x=/livez'])
    t.match(await get(target), /^HTTP\/1\.1 200 /, 'the path of an address alone is /')
  isProblem(t, await get('http://evil.example/%zz'), 'invalid_request', '/%zz')
  isProblem(t, await get('//evil.example/nope'), 'not_found', '/.//evil.example/nope')
  isProblem(t, await get('http://evil.example/docs/token'), 'not_found', '/docs/token')
})

test('an address that cannot be decoded is refused like any other, with every header of a refusal', async (t) => {
  const app = testApp(t, { config: { corsOrigins: ['https://app.example'] } })
  for (const url of ['/api/agent/chat/%', '/%zz', '/livez%ED%A0%80']) {
    const answer = await app.inject({ url, headers: { origin: 'https://app.example', 'x-request-id': 'r1' } })
    t.equal(answer.statusCode, 400, url)
    t.match(answer.json(), { code: 'invalid_request', instance: url, errors: [{ in: 'path' }] }, url)
    t.match(
      answer.headers,
      {
        'access-control-allow-origin': 'https://app.example',
        'access-control-expose-headers': /x-request-id/,
        'x-content-type-options': 'nosniff',
        'x-request-id': 'r1',
        vary: 'Origin',
      },
      url,
    )
  }
  t.equal((await app.inject('/livez?x=%zz')).statusCode, 200, 'a query is read as it is')
})

test('the time that an idle connection is kept is a setting', async (t) => {
  const app = testApp(t, { config: { keepAliveSeconds: 620 } })
  await app.listen({ host: '127.0.0.1', port: 0 })
  const answer = await fetch(`http://127.0.0.1:${(app.server.address() as AddressInfo).port}/livez`)
  t.equal(answer.headers.get('keep-alive'), 'timeout=620')
})
