import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { type AddressInfo, connect } from 'node:net'
import { join } from 'node:path'
import tap, { test } from 'tap'
import { testApp } from '../support/app.ts'
import { temporaryFolder } from '../support/temporary.ts'
import { bearer } from '../support/tokens.ts'

const PYTHON = ['/usr/bin/python3', '/usr/local/bin/python3'].find((path) => existsSync(path)) ?? 'python3'
const hasPython = spawnSync(PYTHON, ['--version']).status === 0

/** Sends bodies of 5 MB with Python's own client, which sends all of a body before it looks for an answer. */
const CLIENT = `
import http.client, json, sys
for path, headers, mode in json.loads(sys.argv[2]):
    try:
        connection = http.client.HTTPConnection('127.0.0.1', int(sys.argv[1]), timeout=60)
        body = (b'x' * 50000 for _ in range(100)) if mode == 'chunked' else b'x' * 5000000
        connection.request('POST', path, body=body, headers=headers, encode_chunked=mode == 'chunked')
        answer = connection.getresponse()
        line = f"{answer.status} {json.loads(answer.read())['code']}"
        if mode == 'twice':
            connection.request('GET', '/livez')
            line += f' {connection.getresponse().status}'
        print(line)
    except Exception as error:
        print(repr(error))
`

type Ask = [right: string, path: string, headers: object, mode?: 'chunked' | 'twice']

/** Asks with Python, one request after the other; one line tells of each. */
async function python(port: number, asks: Ask[]): Promise<string[]> {
  const list = asks.map(([, path, headers, mode = '']) => [path, headers, mode])
  const child = spawn(PYTHON, ['-c', CLIENT, String(port), JSON.stringify(list)])
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (piece) => {
      output += piece
    })
  }
  await once(child, 'close')
  return output.trim().split('\n')
}

const app = testApp(tap as never)
await app.listen({ host: '127.0.0.1', port: 0 })
const { port } = app.server.address() as AddressInfo

const JSON_TYPE = { 'content-type': 'application/json' }
const CLOSE = { connection: 'close' }

test('the refusal of a large body arrives at a client that sends all of it first', {
  skip: !hasPython && 'there is no python3',
}, async (t) => {
  const asks: Ask[] = [
    ['413 payload_too_large', '/api/agent/chat', { ...bearer(), ...JSON_TYPE }],
    ['413 payload_too_large', '/api/agent/chat', { ...bearer(), ...JSON_TYPE, ...CLOSE }],
    ['413 payload_too_large', '/api/agent/chat', { ...bearer(), ...JSON_TYPE }, 'chunked'],
    [
      '415 unsupported_media_type',
      '/api/agent/chat',
      { ...bearer(), 'content-type': 'text/plain', ...CLOSE },
    ],
    ['401 unauthorized', '/api/agent/chat', { ...JSON_TYPE, ...CLOSE }],
    ['401 unauthorized', '/api/agent/chat', JSON_TYPE, 'chunked'],
    ['404 not_found', '/nope', { ...JSON_TYPE, ...CLOSE }],
    ['405 method_not_allowed', '/livez', { ...JSON_TYPE, ...CLOSE }],
    ['417 expectation_failed', '/api/agent/chat', { ...JSON_TYPE, expect: 'a miracle', ...CLOSE }],
    ['404 not_found 200', '/nope', JSON_TYPE, 'twice'],
  ]
  t.same(
    await python(port, asks),
    asks.map(([right]) => right),
  )
})

const APACHE = '/usr/sbin/apache2'
const MODULES = '/usr/lib/apache2/modules'

test('the refusal of a large body arrives through Apache', {
  skip: !(hasPython && existsSync(APACHE)) && 'there is no Apache',
}, async (t) => {
  const folder = await temporaryFolder(t)
  const front = 20_000 + (process.pid % 20_000)
  const configuration = join(folder, 'apache.conf')
  await writeFile(
    configuration,
    [
      ...['mpm_event', 'proxy', 'proxy_http', 'authz_core'].map(
        (name) => `LoadModule ${name}_module ${MODULES}/mod_${name}.so`,
      ),
      `ServerRoot ${folder}`,
      `DefaultRuntimeDir ${folder}`,
      `PidFile ${folder}/pid`,
      `ErrorLog ${folder}/error.log`,
      'ServerName localhost',
      `Listen 127.0.0.1:${front}`,
      ...(process.getuid?.() === 0 ? ['User www-data', 'Group www-data'] : []),
      `ProxyPass / http://127.0.0.1:${port}/`,
      '',
    ].join('\n'),
  )
  const apache = spawn(APACHE, ['-X', '-f', configuration], { stdio: 'ignore' })
  t.teardown(async () => {
    apache.kill('SIGKILL')
    await once(apache, 'close')
  })
  await accepting(front)
  const asks: Ask[] = [
    ['413 payload_too_large', '/api/agent/chat', { ...bearer(), ...JSON_TYPE }],
    ['401 unauthorized', '/api/agent/chat', JSON_TYPE],
    ['404 not_found', '/nope', JSON_TYPE],
  ]
  t.same(
    await python(front, asks),
    asks.map(([right]) => right),
  )
})

/** Resolves once a port accepts connections. */
async function accepting(port: number): Promise<void> {
  for (;;) {
    const socket = connect(port, '127.0.0.1')
    const [error] = await Promise.race([
      once(socket, 'connect').then(() => [undefined]),
      once(socket, 'error'),
    ]).catch((cause) => [cause])
    socket.destroy()
    if (error === undefined) return
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

test('the refusal of headers that are too large arrives though a body follows', async (t) => {
  const socket = connect(port, '127.0.0.1')
  const closed = new Promise((resolve) => socket.once('close', resolve))
  let answer = ''
  socket.on('data', (piece) => (answer += piece))
  socket.on('error', () => {}) // The connection breaks once its time is up, or the client is done.
  socket.write(`POST /api/agent/chat HTTP/1.1\r\nhost: x\r\nbig: ${'x'.repeat(200_000)}\r\n\r\n`)
  for (let sent = 0; sent < 20; sent++) {
    socket.write('x'.repeat(100_000))
    await new Promise((resolve) => setImmediate(resolve))
  }
  socket.end()
  await closed
  t.match(answer, /^HTTP\/1\.1 431 .*"code":"headers_too_large"/s)
})

test('a client that stops in the middle of its body still gets its refusal', async (t) => {
  for (const connection of ['close', 'keep-alive']) {
    const socket = connect(port, '127.0.0.1')
    socket.end(
      `POST /nope HTTP/1.1\r\nhost: x\r\nconnection: ${connection}\r\ncontent-length: 99999\r\n\r\nabc`,
    )
    t.match((await socket.toArray()).join(''), /^HTTP\/1\.1 404 .*"code":"not_found"/s, connection)
  }
})

test('no body is read without end, only for its refusal', async (t) => {
  const socket = connect(port, '127.0.0.1')
  const answer = once(socket, 'data')
  socket.write('POST /nope HTTP/1.1\r\nhost: x\r\ncontent-length: 999999999999\r\n\r\n')
  t.match(String((await answer)[0]), /^HTTP\/1\.1 404 /, 'it is answered at once')
  const closed = new Promise((resolve) => socket.once('close', resolve))
  socket.on('error', () => {}) // The connection is broken off.
  const piece = Buffer.alloc(1024 * 1024)
  let sent = 0
  const send = () => {
    while (!socket.destroyed && sent++ < 1000 && socket.write(piece));
  }
  socket.on('drain', send)
  send()
  await closed
  t.ok(sent < 200, `${sent} MiB were taken`)
})

test('no caller can make a refusal long', async (t) => {
  const long = 'ä'.repeat(1_000_000)
  const post = (url: string, body: unknown) =>
    app.inject({ method: 'POST', url, headers: { ...bearer(), ...JSON_TYPE }, payload: JSON.stringify(body) })
  const fields = Object.fromEntries(Array.from({ length: 5000 }, (_, index) => [`${index}`.repeat(60), 1]))
  const parts = Array(100_001).fill({ type: '' })
  for (const [what, answer] of Object.entries({
    'many parts': await post('/api/agent/chat/stream', { messages: [{ role: 'user', parts }] }),
    'many fields': await post('/api/agent/chat', { message: 'm', ...fields }),
    'a long field': await post('/api/agent/chat', { message: 'm', [long]: 1 }),
    'a long field of the metadata': await post('/api/agent/chat', {
      message: 'm',
      metadata: { [long]: 'x' },
    }),
    'a long field with a lone surrogate': await post('/api/agent/chat', {
      message: 'm',
      [`\ud800${long}`]: 1,
    }),
    'a long id': await app.inject({ url: `/api/agent/chat/${'x'.repeat(100_000)}`, headers: bearer() }),
    'a long address': await app.inject(`/${'x'.repeat(100_000)}`),
    'long escapes': await app.inject(`/${'%zz'.repeat(30_000)}`),
    'a long query': await app.inject({ url: `/api/agent/chat?${'x'.repeat(100_000)}=1`, headers: bearer() }),
    'many queries': await app.inject({
      url: `/api/agent/chat?${Array.from({ length: 900 }, (_, index) => `x${index}=1`).join('&')}`,
      headers: bearer(),
    }),
  })) {
    t.ok(answer.statusCode === 400 || answer.statusCode === 404, what)
    t.ok(Buffer.byteLength(answer.body) <= 16 * 1024, `${what}: ${Buffer.byteLength(answer.body)} bytes`)
    const { errors, instance, detail } = answer.json()
    t.ok(instance.length <= 513, what)
    t.ok(detail.length <= 1100, what)
    t.ok(errors === undefined || errors.length <= 100, what)
    if (what === 'many parts')
      t.same(
        errors.at(-1),
        { path: '', message: `and ${100_001 - (errors.length - 1)} more` },
        'the rest is counted',
      )
  }
})
