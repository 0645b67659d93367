import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import t, { type Test } from 'tap'
import { isPublicAddress } from '../../src/agent/http/public-address.ts'
import { createHttpRequest, type HttpRequestOptions } from '../../src/agent/tools/http-request.ts'
import { createToolbox } from '../../src/agent/tools/toolbox.ts'

async function serve(t: Test, listener: RequestListener) {
  const server = createServer(listener)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  return (server.address() as AddressInfo).port
}

type Result = { output?: unknown; error?: string }

/** Calls the tool as the model's loop does; `api.test` is resolved to loopback, which only tests may connect to. */
async function call(input: object, options: HttpRequestOptions, timeoutMs = 10_000): Promise<Result> {
  const tool = createHttpRequest({ timeoutMs, ...options })
  const shared = { runId: 'run_1', caller: undefined, context: {}, timeoutMs: 1000, outputMax: 50_000 }
  const { tools } = createToolbox({ http: tool }, { ...shared, log: { warn() {}, error() {} } })
  const run = { toolCallId: 'call_1', messages: [], context: {} }
  try {
    let output: unknown
    const parsed = await tool.inputSchema.parseAsync(input)
    const values = tools.http?.execute?.(parsed, run) as AsyncIterable<unknown> | undefined
    for await (const value of values ?? []) output = value
    return { output }
  } catch (error) {
    return { error: (error as Error).message }
  }
}

const onLoopback = {
  mayConnect: (address: string) => address === '127.0.0.1',
  resolve: async () => [{ address: '127.0.0.1', family: 4 }],
}

t.test('an allowed origin is called, and a call that changes something can be repeated safely', async (t) => {
  const port = await serve(t, ({ method, headers, url }, response) => {
    response.setHeader('content-type', 'application/json')
    response.end(JSON.stringify({ method, url, key: headers['idempotency-key'], host: headers.host }))
  })
  const origin = `http://api.test:${port}`
  const options = { origins: [origin], ...onLoopback }
  const got = await call({ url: `${origin}/orders?n=1` }, options)
  t.match(got.output, { status: 200, contentType: 'application/json' })
  t.same(JSON.parse((got.output as { body: string }).body), {
    method: 'GET',
    url: '/orders?n=1',
    host: `api.test:${port}`,
  })
  const posted = await call({ url: `${origin}/orders`, method: 'POST', body: '{}' }, options)
  t.match(posted.output, { body: /"method":"POST".*"key":"run_1:call_1"/ })
})

t.test('a redirect is followed within the allowed origins, a POST as GET', async (t) => {
  const port = await serve(t, (request, response) => {
    if (request.url === '/a') response.writeHead(302, { location: '/b' }).end()
    else response.end(`${request.method} ${request.url}`)
  })
  const origin = `http://api.test:${port}`
  const { output } = await call(
    { url: `${origin}/a`, method: 'POST', body: 'x' },
    { origins: [origin], ...onLoopback },
  )
  t.match(output, { status: 200, body: 'GET /b' })
})

t.test('addresses of other origins are refused, however they are spelt', async (t) => {
  const origins = ['https://api.test']
  for (const url of [
    'http://api.test',
    'https://api.test:444',
    'https://api.test.evil.example',
    'https://user:secret@api.test',
    'https://evil.example/https://api.test',
    'https://api.test@evil.example',
    '//api.test',
    'file:///etc/passwd',
    'ftp://api.test',
    'not an address',
  ]) {
    const { error } = await call({ url }, { origins, ...onLoopback })
    t.match(
      error,
      /^(The address is not (at an allowed origin|a well-formed)|An address with a password)/,
      url,
    )
  }
})

t.test('private addresses are refused in every spelling, although their origin is allowed', async (t) => {
  let reached = 0
  const port = await serve(t, (_request, response) => response.end(String(++reached)))
  for (const host of [
    '127.0.0.1',
    '127.1',
    '2130706433',
    '0x7f000001',
    '0177.0.0.1',
    '0.0.0.0',
    '0',
    '10.0.0.1',
    '169.254.169.254',
    '[::1]',
    '[::]',
    '[::ffff:127.0.0.1]',
    '[::ffff:7f00:1]',
    '[0:0:0:0:0:ffff:7f00:0001]',
    '[64:ff9b::7f00:1]',
    '[2002:7f00:1::]',
    '[fe80::1]',
    '[fd00::1]',
    'localhost',
    '１２７.0.0.1',
  ]) {
    const { origin } = new URL(`http://${host}:${port}`)
    const { error } = await call({ url: `http://${host}:${port}/` }, { origins: [origin] })
    t.equal(error, 'The host of the address is in a private network, which is not allowed.', host)
  }
  t.equal(reached, 0)
})

t.test(
  'a name that leads to a private address is refused, also when only one of its addresses is',
  async (t) => {
    const origins = ['http://rebind.test']
    for (const addresses of [['127.0.0.1'], ['93.184.215.14', '10.0.0.7'], ['2606:2800:21f::1', 'fd00::7']]) {
      const resolve = async () =>
        addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 }))
      const { error } = await call({ url: 'http://rebind.test/' }, { origins, resolve })
      t.match(error, /private network/, addresses.join())
    }
    const unknown = () => Promise.reject(new Error('ENOTFOUND secret'))
    t.equal(
      (await call({ url: 'http://rebind.test/' }, { origins, resolve: unknown })).error,
      'The host of the address does not exist.',
    )
  },
)

t.test('the address that was judged is the one that is connected to', async (t) => {
  const port = await serve(t, (_request, response) => response.end('here'))
  let asked = 0
  const resolve = async () => [{ address: asked++ === 0 ? '127.0.0.1' : '10.0.0.1', family: 4 }]
  const origin = `http://api.test:${port}`
  const { output } = await call({ url: origin }, { origins: [origin], ...onLoopback, resolve })
  t.match(output, { body: 'here' })
  t.equal(asked, 1)
})

t.test('answers that are too much are refused with a reason that the model can read', async (t) => {
  const endless = 'x'.repeat(64 * 1024)
  const hostile: [string, RegExp, RequestListener][] = [
    [
      'redirect to loopback',
      /redirects out of an allowed origin/,
      (_, response) => {
        response.writeHead(302, { location: 'http://127.0.0.1/' }).end()
      },
    ],
    [
      'redirect to metadata',
      /redirects out of/,
      (_, response) => {
        response.writeHead(307, { location: 'http://169.254.169.254/latest' }).end()
      },
    ],
    [
      'redirect to a file',
      /redirects out of/,
      (_, response) => {
        response.writeHead(301, { location: 'file:///etc/passwd' }).end()
      },
    ],
    [
      'redirect for ever',
      /redirects too often/,
      (_, response) => response.writeHead(302, { location: '/' }).end(),
    ],
    [
      'endless body',
      /larger than 100000 bytes/,
      (_, response) => {
        const write = () => {
          if (!response.destroyed && response.write(endless)) setImmediate(write)
          else response.once('drain', write)
        }
        write()
      },
    ],
    [
      'announced size',
      /larger than 100000 bytes/,
      (_, response) => {
        response.writeHead(200, { 'content-length': '99999999999' }).write('x')
      },
    ],
    ['slow body', /did not end within 0\.5 s/, (_, response) => response.write('x')],
    ['no answer', /did not end within 0\.5 s/, () => {}],
    [
      'compressed',
      /compressed/,
      (_, response) => response.writeHead(200, { 'content-encoding': 'gzip' }).end('x'),
    ],
    [
      'an image',
      /not a text/,
      (_, response) => response.writeHead(200, { 'content-type': 'image/png' }).end('x'),
    ],
    ['broken answer', /could not be reached/, (_, response) => response.socket?.end('nonsense\r\n\r\n')],
    ['cut connection', /could not be reached: ECONNRESET/, (_, response) => response.destroy()],
    [
      'headers without end',
      /could not be reached: HPE_HEADER_OVERFLOW/,
      (_, response) => {
        response.writeHead(200, { 'x-large': 'x'.repeat(200_000) }).end()
      },
    ],
  ]
  for (const [name, reason, listener] of hostile) {
    const port = await serve(t, listener)
    const origin = `http://api.test:${port}`
    const options = { origins: [origin], maxBytes: 100_000, ...onLoopback }
    const limit = reason.source.includes('did not end') ? 500 : 30_000
    const { error } = await call({ url: origin }, options, limit)
    t.match(error, reason, name)
    t.notMatch(error, /127\.0\.0\.1|169\.254/, name)
  }
})

t.test('public is what the registries of special addresses leave', (t) => {
  for (const address of ['93.184.215.14', '1.1.1.1', '172.32.0.1', '100.128.0.1', '2606:4700::1111'])
    t.ok(isPublicAddress(address), address)
  for (const address of [
    '100.64.0.1',
    '172.31.255.255',
    '192.0.0.1',
    '198.19.0.1',
    '203.0.113.1',
    '224.0.0.1',
    '255.255.255.255',
    '2001::1',
    '2001:db8::1',
    'ff02::1',
    'fec0::1',
    '::ffff:1.1.1.1',
    '100::1',
    'nonsense',
    '',
  ])
    t.notOk(isPublicAddress(address), address)
  t.end()
})
