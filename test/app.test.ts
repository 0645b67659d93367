import { once } from 'node:events'
import { request as httpRequest } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { Readable } from 'node:stream'
import { Type } from '@sinclair/typebox'
import fc from 'fast-check'
import root, { type Test, test } from 'tap'
import { PROBLEMS, problem } from '../src/errors.ts'
import { matches } from '../src/http/run-answer.ts'
import { RUN_FAILURES } from '../src/run-failures.ts'
import { logSink, testApp } from './support/app.ts'
import { bearer } from './support/tokens.ts'

const Turn = Type.Object(
  {
    message: Type.String({ minLength: 1, maxLength: 10, pattern: '\\S' }),
    kind: Type.Optional(Type.Union([Type.Literal('a'), Type.Literal('b')])),
    count: Type.Optional(Type.Integer({ minimum: 1 })),
    note: Type.Optional(Type.Union([Type.String(), Type.Null()])),
    metadata: Type.Optional(
      Type.Record(Type.String(), Type.String({ maxLength: 5 }), {
        propertyNames: { maxLength: 5 },
        maxProperties: 2,
      }),
    ),
    history: Type.Optional(
      Type.Array(Type.Object({ content: Type.String() }, { additionalProperties: false }), { maxItems: 200 }),
    ),
    id: Type.Optional(Type.String({ pattern: '^[a-z]+$', 'x-fault': 'must be an id' })),
  },
  { additionalProperties: false },
)

/** The service with routes that take anything, echo it, or fail. */
function plainApp(t: Test, options: Parameters<typeof testApp>[1] = {}) {
  return testApp(t, {
    ...options,
    routes: async (app) => {
      const open = { config: { access: 'public' } } as const
      app.post('/turns', { ...open, schema: { body: Turn } }, async ({ body }) => body)
      app.post('/any', { ...open, schema: { body: Type.Unknown() } }, async ({ body }) => ({ body }))
      app.post('/bare', open, async ({ body }) => ({ body: body ?? null }))
      app.patch('/merge', { ...open, schema: { body: Type.Object({}) } }, async ({ body }) => body)
      const querystring = Type.Object(
        {
          limit: Type.Integer({ minimum: 1, maximum: 100, default: 20 }),
          deep: Type.Optional(Type.Boolean()),
          word: Type.Optional(Type.String()),
        },
        { additionalProperties: false },
      )
      app.get('/list', { ...open, schema: { querystring } }, async ({ query }) => query)
      app.get(
        '/things/:id',
        { ...open, schema: { params: Type.Object({ id: Type.String({ pattern: '^run_' }) }) } },
        async ({ params }) => params,
      )
      app.get('/throw/:what', open, async ({ params }) => {
        throw FAILURES[(params as { what: string }).what]
      })
      app.get(
        '/wrong-answer',
        { ...open, schema: { response: { 200: Type.Object({ name: Type.String() }) } } },
        async (_request, reply) => reply.send({ secret: 'internal detail' } as never),
      )
    },
  })
}

const FAILURES: Record<string, unknown> = {
  error: new Error('connect to postgres://user:password@db failed'),
  string: 'a string with a secret',
  nothing: undefined,
  status: Object.assign(new Error('a secret'), { statusCode: 418 }),
  busy: problem('conversation_busy', { members: { activeRunId: null } }),
  away: problem('database_unavailable', { retryAfter: 7, cause: new Error('a secret') }),
}

/** One for all tests that change nothing about it. */
const app = plainApp(root)

const post = (payload: string | Buffer, url = '/turns', type = 'application/json') =>
  app.inject({ method: 'POST', url, payload, headers: { 'content-type': type } })

async function faultsOf(body: unknown) {
  const answer = await post(JSON.stringify(body))
  return answer.statusCode === 200 ? undefined : answer.json().errors
}

test('every refusal has the same shape', async (t) => {
  const answer = await app.inject({ url: '/nowhere?token=secret', headers: { 'x-request-id': 'my.id-1' } })
  t.equal(answer.statusCode, 404)
  t.match(answer.headers, {
    'content-type': /^application\/problem\+json/,
    'x-request-id': 'my.id-1',
    'x-content-type-options': 'nosniff',
    'cache-control': 'no-store',
  })
  t.same(answer.json(), {
    type: '/problems/not_found',
    title: 'Not found',
    status: 404,
    detail: 'There is no such address.',
    instance: '/nowhere',
    code: 'not_found',
    error: 'Not found',
    retryable: false,
    requestId: 'my.id-1',
  })
})

test('a failure of the service is 500 and tells nothing', async (t) => {
  const { lines, logger } = logSink()
  const app = plainApp(t, { config: { logLevel: 'info' }, logger })
  for (const what of ['error', 'string', 'nothing', 'status']) {
    const answer = await app.inject(`/throw/${what}`)
    t.equal(answer.statusCode, 500, what)
    t.match(answer.json(), { code: 'internal', retryable: true, detail: PROBLEMS.internal.what })
    t.notMatch(answer.body, /secret|password/, what)
  }
  t.match(
    lines.find((line) => line.level === 50),
    { err: { message: /^connect to postgres/ }, requestId: String },
    'the cause is in the log',
  )
  const answer = await app.inject('/wrong-answer')
  t.equal(answer.statusCode, 500, 'an answer that does not fit its own schema')
  t.equal(answer.json().code, 'internal')
  t.notMatch(answer.body, /detail"?:"?internal|name/)
})

test('retryAfter and Retry-After come together', async (t) => {
  const away = await app.inject('/throw/away')
  t.equal(away.statusCode, 503)
  t.equal(away.json().retryAfter, 7)
  t.equal(away.headers['retry-after'], '7')
  t.notMatch(away.body, /secret/)
  const busy = await app.inject('/throw/busy')
  t.match(busy.json(), { code: 'conversation_busy', activeRunId: null, retryAfter: 1 })
  t.equal(busy.headers['retry-after'], '1')
  const missing = await app.inject('/nowhere')
  t.notOk('retryAfter' in missing.json())
  t.notOk('retry-after' in missing.headers)
})

test('a body lists every fault with its path and in plain words', async (t) => {
  t.equal(await faultsOf({ message: 'hello', note: null, kind: 'b', count: 2 }), undefined)

  t.same(await faultsOf({ message: '', kind: 'c', count: 0, extra: 1, note: 1, id: 'A' }), [
    { path: '/extra', message: 'is not known here' },
    { path: '/message', message: 'must not be empty' },
    { path: '/kind', message: 'must be one of a, b' },
    { path: '/count', message: 'must be at least 1' },
    { path: '/note', message: 'has none of the allowed forms' },
    { path: '/id', message: 'must be an id' },
  ])
  t.same(await faultsOf({}), [{ path: '/message', message: 'is required' }])
  t.same(await faultsOf({ message: ' \n' }), [{ path: '/message', message: 'must not be blank' }])
  t.same(await faultsOf({ message: 'x'.repeat(11) }), [
    { path: '/message', message: 'must have at most 10 characters' },
  ])
  t.same(await faultsOf({ message: 'm', metadata: { toolong: 'x', 'a/~': 'toolong', c: 'c' } }), [
    { path: '/metadata', message: 'must have at most 2 fields' },
    { path: '/metadata/toolong', message: 'as a name must have at most 5 characters' },
    { path: '/metadata/a~1~0', message: 'must have at most 5 characters' },
  ])
  t.same(await faultsOf([]), [{ path: '', message: 'must be an object' }])
  const answer = await post(JSON.stringify({ message: '', count: 0 }))
  t.match(answer.json(), {
    code: 'invalid_request',
    detail: '`message` must not be empty (and 1 more: see `errors`).',
  })
})

test('nothing in a body is coerced or dropped', async (t) => {
  for (const message of [1, true, null, ['hello'], { text: 'hello' }]) {
    t.same(await faultsOf({ message }), [{ path: '/message', message: 'must be a string' }])
  }
  t.same(await faultsOf({ message: 'm', count: '2' }), [{ path: '/count', message: 'must be an integer' }])
  t.same(await faultsOf({ message: 'm', count: null }), [{ path: '/count', message: 'must be an integer' }])
  t.same((await post('{"message":"m"}')).json(), { message: 'm' }, 'and nothing is added')
})

test('query parameters are read as what they mean, and unknown ones refused', async (t) => {
  t.same((await app.inject('/list?limit=5&deep=true')).json(), { limit: 5, deep: true })
  t.same((await app.inject('/list')).json(), { limit: 20 })
  for (const [query, errors] of Object.entries({
    'limit=0': [{ in: 'query', path: '/limit', message: 'must be at least 1' }],
    'limit=': [{ in: 'query', path: '/limit', message: 'must be an integer' }],
    'limit=1.5': [{ in: 'query', path: '/limit', message: 'must be an integer' }],
    'limit=1&limit=2': [{ in: 'query', path: '/limit', message: 'must be an integer' }],
    'limt=5&deep=maybe': [
      { in: 'query', path: '/limt', message: 'is not known here' },
      { in: 'query', path: '/deep', message: 'must be a boolean' },
    ],
    'word=a%00b': [{ in: 'query', path: '/word', message: 'must not contain U+0000 or lone surrogates' }],
  })) {
    const answer = await app.inject(`/list?${query}`)
    t.equal(answer.statusCode, 400, query)
    t.same(answer.json().errors, errors, query)
  }
})

test('a route that knows no query parameters refuses all', async (t) => {
  const answer = await app.inject({
    method: 'POST',
    url: '/api/agent/chat?dry=1',
    headers: bearer(),
    payload: {},
  })
  t.equal(answer.statusCode, 400)
  t.match(answer.json().errors, [{ path: '/message', message: 'is required' }])
  const query = await app.inject({
    method: 'POST',
    url: '/api/agent/chat?dry=1',
    headers: bearer(),
    payload: { message: 'hello' },
  })
  t.same(query.json().errors, [{ in: 'query', path: '/dry', message: 'is not known here' }])
  t.equal((await app.inject('/livez?probe=1')).statusCode, 200, 'probes may say what they like')
})

test('text that Postgres cannot store is refused wherever it hides', async (t) => {
  const message = 'must not contain U+0000 or lone surrogates'
  for (const [body, path] of [
    ['"a\\u0000b"', ''],
    ['{"a":{"b":["x","\\ud800"]}}', '/a/b/1'],
    ['{"a":"\\udc00\\ud800"}', '/a'],
    ['{"deep":[[["\\u0000"]]]}', '/deep/0/0/0'],
  ] as const) {
    const answer = await post(body, '/any')
    t.equal(answer.statusCode, 400, body)
    t.same(answer.json().errors, [{ path, message }], body)
  }
  const key = await post('{"a":{"k\\u0000":1}}', '/any')
  t.same(key.json().errors, [{ path: '/a', message: `has a key that ${message}` }])
  t.equal((await post('"\\ud83e\\udd89"', '/any')).statusCode, 200, 'a pair is fine')
  const path = await app.inject('/things/run_%00')
  t.match(path.json(), { code: 'invalid_request', errors: [{ in: 'path', path: '/id' }] })
})

test('nesting and sheer number cannot hurt', async (t) => {
  const deep = await post('['.repeat(200_000) + ']'.repeat(200_000), '/any')
  t.equal(deep.statusCode, 400)
  t.match(deep.json().errors, [{ message: 'must not be nested deeper than 100 levels' }])
  const wide = await post(`{"message":"m","history":[${Array(240_000).fill('0').join()}]}`)
  t.equal(wide.statusCode, 400)
  t.ok(wide.json().errors.length <= 100)
  t.equal(wide.json().errors[0].path, '/history')
  const bad = `{"message":"m","history":[${Array(100_000).fill('0').join()},${Array(50).fill('"\\u0000"').join()}]}`
  t.equal((await post(bad)).json().errors.length, 21, 'twenty texts, and the first fault of the rest')
})

/** Sizes in bytes are those of the largest body, names are all different. */
const HEAVY = {
  'arrays in arrays': '['.repeat(900_000) + ']'.repeat(900_000),
  'objects in objects': `${'{"a":'.repeat(300_000)}1${'}'.repeat(300_000)}`,
  'empty arrays': `[${'[],'.repeat(600_000)}1]`,
  'objects without a common name': `[${Array.from({ length: 75_000 }, (_, n) => `{"a${n}":1,"b${n}":2}`).join()}]`,
  'one object of many names': `{${Array.from({ length: 100_000 }, (_, n) => `"name${n}":1`).join()}}`,
  'names behind escapes': `{${Array.from({ length: 100_000 }, (_, n) => `"\\"\\\\${n}":1`).join()}}`,
}

test('a body that would hold up all other requests is refused before it is parsed', async (t) => {
  await post(HEAVY['empty arrays'], '/any')
  for (const [what, body] of Object.entries(HEAVY)) {
    const before = process.threadCpuUsage()
    const answer = await post(body, '/any')
    const { user, system } = process.threadCpuUsage(before)
    t.equal(answer.statusCode, 413, what)
    t.match(answer.json(), { code: 'payload_too_large', detail: /^The body has more than 250000 values/ })
    // Parsing takes 100 to 500 ms of work.
    t.ok(user + system < 90_000, `${what}: ${(user + system) / 1000} ms of work`)
  }
  for (const body of [
    JSON.stringify({ text: 'x[{,:'.repeat(300_000) }),
    JSON.stringify(Array.from({ length: 30_000 }, (_, id) => ({ id, name: 'a name', price: 1.5 }))),
    JSON.stringify({ text: '"\\,['.repeat(200_000) }),
  ])
    t.equal((await post(body, '/any')).statusCode, 200, body.slice(0, 30))
})

test('a body that is not JSON is malformed', async (t) => {
  for (const body of ['{"message":', 'hello', '{"message":"m"}}', "{'message':'m'}", '', 'NaN', '{"a":1,}']) {
    const answer = await post(body)
    t.equal(answer.statusCode, 400, body)
    t.match(answer.json().code, body === '' ? 'invalid_request' : 'malformed_json', body)
    t.notMatch(answer.body, /hello/, 'the body is not quoted')
  }
  const latin1 = await post(Buffer.from('{"message":"\xe4"}', 'latin1'))
  t.match(latin1.json(), { code: 'malformed_json', detail: 'The body is not UTF-8.' })
  for (const body of [
    '{"__proto__":{"admin":true}}',
    '{"a":{"__proto__":1}}',
    '{"constructor":{"prototype":{}}}',
  ]) {
    const answer = await post(body, '/any')
    t.equal(answer.statusCode, 400, body)
    t.equal(answer.json().code, 'malformed_json', body)
  }
  t.same((await post('\ufeff{"message":"m"}')).json(), { message: 'm' }, 'a byte order mark is no fault')
})

test('no body whatsoever makes the service fail', async (t) => {
  const bytes = fc.uint8Array({ maxLength: 200 }).map((array) => Buffer.from(array))
  const json = fc.jsonValue({ stringUnit: 'binary' }).map((value) => Buffer.from(JSON.stringify(value)))
  const almost = fc
    .record({
      message: fc.jsonValue(),
      metadata: fc.dictionary(fc.string(), fc.jsonValue()),
      kind: fc.jsonValue(),
    })
    .map((value) => Buffer.from(JSON.stringify(value)))
  await fc.assert(
    fc.asyncProperty(fc.oneof(bytes, json, almost), fc.constantFrom('/turns', '/any'), async (body, url) => {
      const answer = await post(body, url)
      if (answer.statusCode === 200) return
      const { status, code, errors } = answer.json()
      if (status !== 400 || !['invalid_request', 'malformed_json'].includes(code))
        throw new Error(answer.body)
      if (code === 'invalid_request' && !(errors.length > 0)) throw new Error(answer.body)
    }),
    { numRuns: 500 },
  )
  t.pass('500 bodies')
})

test('an empty body is fine where none is needed, and required where one is', async (t) => {
  const headers = { 'content-type': 'application/json' }
  t.same((await app.inject({ method: 'POST', url: '/bare', headers })).json(), { body: null })
  t.same((await app.inject({ method: 'POST', url: '/bare' })).json(), { body: null })
  t.same((await post('{"a":1}', '/bare')).json(), { body: { a: 1 } })
  t.equal((await post('{', '/bare')).json().code, 'malformed_json')
  const form = { 'content-type': 'application/x-www-form-urlencoded' }
  const curl = await app.inject({ method: 'POST', url: '/bare', headers: { ...form, 'content-length': '0' } })
  t.same(curl.json(), { body: null }, "curl -X POST -d ''")
  t.same((await app.inject({ method: 'POST', url: '/bare', headers: form })).json(), { body: null })
  t.equal((await post('a=1', '/bare', form['content-type'])).statusCode, 415)
  const chunked = { ...form, 'transfer-encoding': 'chunked' }
  const streamed = (chunks: string[], url = '/bare') =>
    app.inject({ method: 'POST', url, headers: chunked, payload: Readable.from(chunks) })
  t.same((await streamed([])).json(), { body: null }, 'whether there is a body shows at its end')
  t.equal((await streamed([], '/turns')).json().code, 'invalid_request')
  t.equal((await streamed(['a', '=1'])).json().code, 'unsupported_media_type')
  for (const answer of [
    await app.inject({ method: 'POST', url: '/turns', headers: form }),
    await app.inject({ method: 'POST', url: '/turns', headers }),
    await app.inject({ method: 'POST', url: '/turns' }),
    await post('null'),
  ]) {
    t.equal(answer.statusCode, 400)
    t.match(answer.json().errors, [{ path: '' }])
  }
})

test('only JSON is accepted, up to 2 MiB', async (t) => {
  for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'application/xml', 'rubbish']) {
    const answer = await post('message=m', '/turns', type)
    t.equal(answer.statusCode, 415, type)
    t.equal(answer.json().code, 'unsupported_media_type')
  }
  const encoded = (encoding: string) =>
    app.inject({
      method: 'POST',
      url: '/any',
      payload: '{"a":1}',
      headers: { 'content-type': 'application/json', 'content-encoding': encoding },
    })
  t.match((await encoded('gzip')).json(), {
    code: 'unsupported_media_type',
    detail: 'Bodies are read without `Content-Encoding`.',
  })
  t.equal((await encoded('Identity')).statusCode, 200)
  const merge = { 'content-type': 'application/merge-patch+json' }
  t.equal(
    (await app.inject({ method: 'PATCH', url: '/merge', payload: '{"a":1}', headers: merge })).statusCode,
    200,
  )
  const large = await post(JSON.stringify('x'.repeat(2 * 1024 * 1024)), '/any')
  t.equal(large.statusCode, 413)
  t.match(large.json(), { code: 'payload_too_large', retryable: false })
  t.equal((await post(JSON.stringify('x'.repeat(2 * 1024 * 1024 - 2)), '/any')).statusCode, 200)
})

test('a body that is announced too large is refused before it is sent', async (t) => {
  await app.listen({ host: '127.0.0.1', port: 0 })
  const { port } = app.server.address() as AddressInfo
  const raw = async (text: string) => {
    const socket = connect(port, '127.0.0.1')
    socket.end(text)
    return (await socket.toArray()).join('')
  }
  const head =
    'POST /any HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n'
  t.match(await raw(`${head}Content-Length: 3\r\n\r\n[1]`), /^HTTP\/1\.1 200 /)
  t.match(await raw(`${head}Content-Length: 99999999\r\n\r\n[1]`), /^HTTP\/1\.1 413 .*payload_too_large/s)
})

test('ids of any length and any bytes are 400 or 404', async (t) => {
  for (const id of ['x', 'run', `no_${'x'.repeat(14_000)}`, '%F0%9F%A6%89', '..%2F..%2Fetc']) {
    const answer = await app.inject(`/things/${id}`)
    t.equal(answer.statusCode, 400, id.slice(0, 20))
    t.equal(answer.json().code, 'invalid_request')
  }
  t.equal((await app.inject(`/things/run_${'x'.repeat(14_000)}`)).statusCode, 200)
  const { lines, logger } = logSink()
  const logged = plainApp(t, { config: { logLevel: 'info' }, logger })
  for (const path of ['/things/%', '/things/%zz', '/things/%ED%A0%80']) {
    const answer = await logged.inject({ url: path, headers: { 'x-request-id': 'bad-url' } })
    t.equal(answer.statusCode, 400, path)
    t.match(answer.json(), {
      code: 'invalid_request',
      requestId: 'bad-url',
      instance: path,
      errors: [{ in: 'path' }],
    })
    t.equal(answer.headers['x-request-id'], 'bad-url', 'though no hook has run')
  }
  t.ok(lines.some((line) => line.requestId === 'bad-url'))
})

test('every address answers OPTIONS, and other methods with 405, before any token', async (t) => {
  const app = testApp(t)
  const cases: Record<string, string> = {
    '/livez': 'GET, HEAD, OPTIONS',
    '/problems/whatever': 'GET, HEAD, OPTIONS',
    '/api/agent/chat': 'GET, HEAD, POST, OPTIONS',
    '/docs/static/index.css': 'GET, HEAD, OPTIONS',
  }
  for (const [url, allow] of Object.entries(cases)) {
    const sorted = (text: unknown) => String(text).split(', ').sort().join(', ')
    const options = await app.inject({ method: 'OPTIONS', url })
    t.equal(options.statusCode, 204, url)
    t.equal(sorted(options.headers.allow), sorted(allow), url)
    t.equal(options.body, '')
    for (const method of ['PUT', 'DELETE', 'TRACE'] as const) {
      const answer = await app.inject({
        method: method as 'PUT',
        url,
        ...(method === 'PUT' ? { payload: '{', headers: { 'content-type': 'text/plain' } } : {}),
      })
      t.equal(answer.statusCode, 405, `${method} ${url}`)
      t.match(answer.json(), { code: 'method_not_allowed', status: 405, retryable: false })
      t.equal(sorted(answer.headers.allow), sorted(allow))
    }
  }
  t.equal((await app.inject({ method: 'OPTIONS', url: '/nowhere' })).statusCode, 404)
})

test('an address that ends where an id should be is none, before any token', async (t) => {
  for (const url of [
    '/api/agent/chat/',
    '/api/agent/conversations/',
    '/problems/',
    '/api/agent/chat//cancel',
  ]) {
    for (const method of ['GET', 'POST', 'OPTIONS'] as const) {
      const answer = await app.inject({ method, url })
      t.match(answer.json(), { status: 404, code: 'not_found' }, `${method} ${url}`)
    }
  }
})

test('HEAD answers like GET, without the body', async (t) => {
  const app = testApp(t)
  const head = await app.inject({ method: 'HEAD', url: '/livez' })
  t.equal(head.statusCode, 200)
  t.equal(head.body, '')
  t.equal((await app.inject({ method: 'HEAD', url: '/nowhere' })).statusCode, 404)
})

test('a harmless request id is kept, any other replaced', async (t) => {
  for (const id of ['a', 'A.b-c_9', 'x'.repeat(128)]) {
    t.equal(
      (await app.inject({ url: '/livez', headers: { 'x-request-id': id } })).headers['x-request-id'],
      id,
    )
  }
  for (const id of ['', 'x'.repeat(129), 'a b', 'a;b', '<b>', 'ä', '../x']) {
    const answer = await app.inject({ url: '/nowhere', headers: { 'x-request-id': id } })
    t.match(answer.headers['x-request-id'], /^[0-9a-f]{8}-[0-9a-f]{4}-[47]/, JSON.stringify(id))
    t.equal(answer.json().requestId, answer.headers['x-request-id'])
  }
})

test('the log has a line per request, without query, headers and bodies', async (t) => {
  const { lines, logger } = logSink()
  const app = plainApp(t, { config: { logLevel: 'trace' }, logger })
  await app.inject({
    method: 'POST',
    url: '/any?key=sesame',
    payload: { message: 'my secret' },
    headers: { 'x-request-id': 'r1', 'x-api-key': 'sesame', ...bearer() },
  })
  t.match(
    lines.filter((line) => line.requestId === 'r1'),
    [{ method: 'POST', path: '/any', status: 200, ms: Number, msg: 'answered' }],
  )
  t.notMatch(JSON.stringify(lines), /sesame|secret|eyJ/)
})

test('a client that leaves before the answer is in the log', async (t) => {
  const { lines, logger } = logSink()
  const left = Promise.withResolvers<void>()
  const app = testApp(t, {
    config: { logLevel: 'info' },
    logger,
    routes: async (scope) => {
      scope.get('/slow', { config: { access: 'public' } }, async () => left.promise)
      scope.addHook('onRequestAbort', async (_request) => left.resolve())
    },
  })
  await app.listen({ host: '127.0.0.1', port: 0 })
  const request = httpRequest({ port: (app.server.address() as AddressInfo).port, path: '/slow' })
  request.on('error', () => {})
  request.end(() => setImmediate(() => request.destroy()))
  await left.promise
  t.match(
    lines.find((line) => line.path === '/slow'),
    { msg: 'the client went away', requestId: String },
  )
})

test('a client that leaves in the middle of its body is no failure of the service', async (t) => {
  let refused = Promise.withResolvers<object>()
  const write = (line: string) => {
    const parsed = JSON.parse(line)
    if (parsed.code !== undefined) refused.resolve(parsed)
  }
  const app = plainApp(t, { config: { logLevel: 'info' }, logger: { stream: { write } } })
  await app.listen({ host: '127.0.0.1', port: 0 })
  const { port } = app.server.address() as AddressInfo
  for (const type of ['application/json', 'text/plain']) {
    refused = Promise.withResolvers()
    const arrived = once(app.server, 'request')
    const socket = connect(port, '127.0.0.1')
    socket.write(
      `POST /bare HTTP/1.1\r\nhost: x\r\ncontent-type: ${type}\r\ntransfer-encoding: chunked\r\n\r\n`,
    )
    await arrived
    socket.destroy()
    t.match(await refused.promise, { level: 30, code: 'malformed_http', reason: 'aborted' }, type)
  }
})

test('while the server closes, what had begun is finished and its connection ends, so that the next goes elsewhere', async (t) => {
  const entered = Promise.withResolvers<void>()
  const release = Promise.withResolvers<string>()
  const app = testApp(t, {
    routes: async (scope) => {
      scope.get('/slow', { config: { access: 'public' } }, async () => {
        entered.resolve()
        return release.promise
      })
    },
  })
  await app.listen({ host: '127.0.0.1', port: 0 })
  const socket = connect((app.server.address() as AddressInfo).port, '127.0.0.1')
  socket.write('GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n')
  await entered.promise
  const closed = app.close()
  socket.write('GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n')
  setImmediate(() => release.resolve('done'))
  const answers = (await socket.toArray()).join('')
  await closed
  t.match(answers, /^HTTP\/1\.1 200 .*connection: close.*done/s)
  t.notMatch(answers, /"status":"ok"/, 'nothing is begun any more')
})

test('a connection that carries nothing yet may still say what it wants, and hears that it is too late', async (t) => {
  const app = testApp(t)
  await app.listen({ host: '127.0.0.1', port: 0 })
  const open = async () => {
    const socket = connect((app.server.address() as AddressInfo).port, '127.0.0.1')
    await once(app.server, 'connection')
    return socket
  }
  const [late, silent] = [await open(), await open()]
  const closed = app.close()
  late.write('GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n')
  t.match((await late.toArray()).join(''), /^HTTP\/1\.1 503 .*connection: close.*shutting_down/s)
  t.strictSame(await silent.toArray(), [])
  await closed
})

test('what is not answered in time is cut off, so that the pool, the handover and the traces have theirs', async (t) => {
  const entered = Promise.withResolvers<void>()
  const app = testApp(t, {
    config: { shutdownTimeoutSeconds: 1 },
    routes: async (scope) => {
      scope.get('/never', { config: { access: 'public' } }, async () => {
        entered.resolve()
        return new Promise(() => {})
      })
    },
  })
  await app.listen({ host: '127.0.0.1', port: 0 })
  const socket = connect((app.server.address() as AddressInfo).port, '127.0.0.1')
  socket.write('GET /never HTTP/1.1\r\nHost: localhost\r\n\r\n')
  await entered.promise
  const [answer] = await Promise.all([socket.toArray(), app.close()])
  t.equal(answer.length, 0)
})

test('without origins there is no CORS', async (t) => {
  const app = testApp(t)
  const answer = await app.inject({ url: '/livez', headers: { origin: 'https://app.example' } })
  t.notOk(answer.headers['access-control-allow-origin'])
  t.notOk(answer.headers.vary)
})

test('browsers of configured origins may call, others may not', async (t) => {
  const app = testApp(t, { config: { corsOrigins: ['https://app.example', 'http://localhost:5173'] } })
  const preflight = await app.inject({
    method: 'OPTIONS',
    url: '/api/agent/chat',
    headers: {
      origin: 'https://app.example',
      'access-control-request-method': 'POST',
      'access-control-request-headers': 'authorization,content-type',
    },
  })
  t.equal(preflight.statusCode, 204)
  t.match(preflight.headers, {
    'access-control-allow-origin': 'https://app.example',
    'access-control-allow-methods': /POST/,
    'access-control-allow-headers': /authorization.*content-type.*idempotency-key.*last-event-id/,
    'access-control-max-age': '600',
    vary: 'Origin',
  })
  const refusal = await app.inject({ url: '/api/agent/chat', headers: { origin: 'http://localhost:5173' } })
  t.equal(refusal.statusCode, 401)
  t.equal(refusal.headers['access-control-allow-origin'], 'http://localhost:5173', 'refusals can be read too')
  t.match(refusal.headers['access-control-expose-headers'], /x-run-id/)
  const foreign = await app.inject({ url: '/livez', headers: { origin: 'https://evil.example' } })
  t.notOk(foreign.headers['access-control-allow-origin'])
  t.equal(foreign.headers.vary, 'Origin')
  const page = await app.inject({ url: '/problems/internal', headers: { origin: 'https://app.example' } })
  t.equal(page.headers.vary, 'Accept, Origin')
})

test('a page of an allowed origin may send every header that it asks for', async (t) => {
  const app = testApp(t, { config: { corsOrigins: ['https://app.example'] } })
  const allowed = async (wanted?: string, origin = 'https://app.example') => {
    const asked = wanted === undefined ? {} : { 'access-control-request-headers': wanted }
    const headers = { origin, 'access-control-request-method': 'POST', ...asked }
    const answer = await app.inject({ method: 'OPTIONS', url: '/api/agent/chat', headers })
    return String(answer.headers['access-control-allow-headers']).split(', ')
  }
  for (const name of ['traceparent', 'tracestate', 'baggage', 'sentry-trace', 'x-effective-user', 'prefer'])
    t.ok((await allowed()).includes(name), name)
  const wanted = await allowed('user-agent,x-datadog-trace-id, b3')
  for (const name of ['user-agent', 'x-datadog-trace-id', 'b3', 'authorization'])
    t.ok(wanted.includes(name), name)
  t.notMatch((await allowed('x y,<b>')).join(), /<b>/, 'what is no name of a header is not repeated')
  t.notMatch((await allowed('x'.repeat(5000))).join(), /xxx/, 'nor what is too long')
  t.same(await allowed('b3', 'https://evil.example'), ['undefined'])
})

type Refusal = { type: string; instance: string; code: string }

/** Every example of a refusal in an API description. */
function refusalExamples(node: unknown): Refusal[] {
  if (typeof node !== 'object' || node === null) return []
  const { example } = ((node as Record<string, unknown>)['application/problem+json'] ?? {}) as {
    example?: Refusal
  }
  return [...(example === undefined ? [] : [example]), ...Object.values(node).flatMap(refusalExamples)]
}

test('under the path of PUBLIC_URL every address that leaves the service has that path', async (t) => {
  const app = testApp(t, { config: { publicUrl: 'https://app.example/svc' } })
  for (const prefix of ['', '/svc']) {
    const refusal = await app.inject(`${prefix}/api/agent/chat`)
    t.equal(refusal.statusCode, 401, prefix)
    t.match(refusal.json(), { type: '/svc/problems/unauthorized', instance: '/svc/api/agent/chat' })
    t.equal((await app.inject(`${prefix}/problems/internal`)).json().type, '/svc/problems/internal')
    t.match((await app.inject(`${prefix}/docs`)).body, /src="\/svc\/docs\/static\/swagger-initializer\.js"/)
    const redirect = await app.inject(`${prefix}/docs/static/index.html`)
    t.equal(redirect.headers.location, '/svc/docs/')
    const document = (await app.inject(`${prefix}/openapi.json`)).json()
    t.same(document.servers[0].url, 'https://app.example/svc')
    const examples = refusalExamples(document)
    t.ok(examples.length > 20, 'the document has examples of refusals')
    for (const { type, instance, code } of examples)
      t.match({ type, instance }, { type: `/svc/problems/${code}`, instance: /^\/svc\// }, code)
    for (const path of [`${prefix}/`, prefix, `${prefix}?x=1`].filter((path) => path.startsWith('/'))) {
      const { links } = (await app.inject(path)).json()
      t.ok(
        Object.values(links).every((link) => String(link).startsWith('/svc/')),
        `${path} leads on`,
      )
      const page = await app.inject({ url: path, headers: { accept: 'text/html' } })
      t.match(page.body, /<a href="\/svc\/docs">/, path)
    }
  }
  t.equal((await app.inject('/svcx/livez')).statusCode, 404)
  const plain = await testApp(t).inject('/docs')
  t.match(plain.body, /src="\/docs\/static\//)
  t.equal(plain.headers['content-security-policy'], "frame-ancestors 'none'")
})

test('null counts as absent where a body field is optional', async (t) => {
  const app = testApp(t)
  const ask = async (url: string, payload: object, method: 'POST' | 'PATCH' = 'POST') =>
    (await app.inject({ method, url, headers: bearer(), payload })).json()
  const absent = { conversationId: null, ifBusy: null, metadata: null }
  const messages = [
    {
      role: 'user',
      parts: [
        { type: 'text', text: 'hi' },
        { type: 'data-x', text: null },
      ],
    },
  ]
  // The database of this test is away: everything before it has accepted the body.
  for (const [url, payload] of [
    ['/api/agent/chat', { message: 'hi', history: null, ...absent }],
    ['/api/agent/chat/stream', { messages, trigger: null, ...absent }],
    ['/api/agent/conversations', { title: null, metadata: null }],
  ] as const)
    t.not((await ask(url, payload)).code, 'invalid_request', url)
  t.match(
    await ask('/api/agent/chat', { message: null }),
    { errors: [{ path: '/message' }] },
    'not a required one',
  )
  const role = { message: 'hi', history: [{ role: 'user', content: null }] }
  t.match(await ask('/api/agent/chat', role), { errors: [{ path: '/history/0/content' }] })
  const id = '0198c5a2-7d3e-7b1a-9f00-3f2a1c4d5e6f'
  const patch = await ask(`/api/agent/conversations/${id}`, { title: null }, 'PATCH')
  t.match(patch, { errors: [{ path: '/title' }] }, 'in a merge patch null would remove the title')
})

test('a tag is known again after a proxy has changed it', async (t) => {
  const tag = '"-_abcdefghijklmnopqrstuvwx-"'
  const asks = (header: string) => matches({ headers: { 'if-none-match': header } } as never, tag)
  const inner = tag.slice(1, -1)
  for (const header of [
    tag,
    `W/${tag}`,
    `"${inner}-gzip"`,
    `W/"${inner}-br"`,
    `"${inner};gzip"`,
    `"${inner}--zstd"`,
    `${tag};gzip`,
    `"other", W/"${inner}-gzip", "third"`,
    inner,
    ' * ',
  ])
    t.ok(asks(header), header)
  for (const header of ['', '"*"', '"other"', `"${inner.slice(1)}"`, '"-gzip"', 'W/""'])
    t.notOk(asks(header), header)
})

test('hops of proxies are counted from this end', async (t) => {
  const routes: Parameters<typeof testApp>[1] = {
    routes: async (scope) => {
      scope.get('/ip', { config: { access: 'public' } }, async ({ ip }) => ip)
    },
  }
  const headers = { 'x-forwarded-for': '6.6.6.6, 2.2.2.2, 3.3.3.3' }
  for (const [trustProxy, ip] of [
    [false, '127.0.0.1'],
    [1, '3.3.3.3'],
    [2, '2.2.2.2'],
    [['127.0.0.1', '3.3.3.3'], '2.2.2.2'],
    [true, '6.6.6.6'],
  ] as const) {
    const app = testApp(t, { ...routes, config: { trustProxy: trustProxy as boolean } })
    t.equal((await app.inject({ url: '/ip', headers })).body, ip, JSON.stringify(trustProxy))
  }
})

test('a problem explains itself, as JSON and as a page', async (t) => {
  const app = testApp(t)
  for (const [code, definition] of Object.entries(PROBLEMS)) {
    const answer = await app.inject(`/problems/${code}`)
    t.equal(answer.statusCode, 200)
    t.same(answer.json(), { type: `/problems/${code}`, code, ...definition })
  }
  for (const [code, { message, retryable, action }] of Object.entries(RUN_FAILURES)) {
    const answer = await app.inject(`/problems/${code}`)
    t.equal(answer.statusCode, 200, code)
    if (!(code in PROBLEMS)) t.match(answer.json(), { code, retryable, what: message, action })
  }
  const page = await app.inject({ url: '/problems/rate_limited', headers: { accept: 'text/html,*/*;q=0.8' } })
  t.match(page.headers, { 'content-type': /^text\/html/, vary: 'Accept' })
  t.match(page.body, /<h1>429 Rate limit exceeded<\/h1>/)
  for (const code of ['nothing', 'toString', '__proto__', '<script>']) {
    const answer = await app.inject(`/problems/${encodeURIComponent(code)}`)
    t.equal(answer.statusCode, 404, code)
    t.equal(answer.json().code, 'not_found')
  }
})
