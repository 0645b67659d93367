import { once } from 'node:events'
import type { ServerResponse } from 'node:http'
import { createServer } from 'node:net'
import { test } from 'tap'
import { networks } from '../../src/webhooks/networks.ts'
import { poster } from '../../src/webhooks/post.ts'
import { startReceiver } from '../support/receiver.ts'

const PUBLIC = { address: '93.184.215.14', family: 4 }
const LOCAL = { address: '127.0.0.1', family: 4 }

const post = (url: string, options: Partial<Parameters<typeof poster>[0]> & { allowed?: string[] } = {}) =>
  poster({ networks: networks(options.allowed ?? []), ...options })({
    receiver: 'test',
    url,
    headers: {},
    body: '{}',
  })

test('addresses that are not public are refused, however they are written', async (t) => {
  const hosts = ['127.0.0.1', '169.254.169.254', '10.0.0.1', '[::1]', '2130706433', '0x7f.1', '017700000001']
  const others = [
    '[::ffff:127.0.0.1]',
    '[::ffff:a9fe:a9fe]',
    '[fe80::1]',
    '[fd00::1]',
    '[64:ff9b::a00:1]',
    '0.0.0.0',
  ]
  for (const host of [...hosts, ...others])
    t.same(await post(`https://${host}/`), { isDelivered: false, errorCode: 'address_refused' }, host)
})

test('a name is refused when one of its addresses is not public', async (t) => {
  const refused = { isDelivered: false, errorCode: 'address_refused' }
  t.same(await post('https://localhost/'), refused, 'as the system resolves it')
  for (const found of [[LOCAL], [PUBLIC, LOCAL], [{ address: '::ffff:10.0.0.1', family: 6 }]])
    t.same(await post('https://hooks.example/', { resolve: async () => found }), refused)
  const unknown = { isDelivered: false, errorCode: 'host_unknown' }
  t.same(await post('https://hooks.example/', { resolve: async () => [] }), unknown)
  t.same(await post('https://does-not-exist.invalid/'), unknown)
})

test('the connection is made to the address that was checked, though the name has another one by then', async (t) => {
  const receiver = await startReceiver(t)
  const answers = [[LOCAL], [{ address: '127.0.0.2', family: 4 }]]
  let asked = 0
  const resolve = async () => answers[asked++] ?? []
  const { port } = new URL(receiver.url)
  const sent = await post(`http://hooks.example:${port}/hook`, { allowed: ['127.0.0.1'], resolve })
  t.same(sent, { isDelivered: true, status: 204 })
  t.equal(asked, 1, 'the name was resolved once')
  t.equal(receiver.received[0]?.headers.host, `hooks.example:${port}`)
})

test('attempts at one host share a look-up while it goes on, also after they have timed out', async (t) => {
  await startReceiver(t) // The time limit alone keeps no process alive.
  let asked = 0
  const answer = Promise.withResolvers<[typeof LOCAL]>()
  const resolve = () => {
    asked += 1
    return answer.promise
  }
  const send = poster({ networks: networks([]), resolve, timeoutMs: 100 })
  const one = { receiver: 'test', url: 'https://hooks.example/', headers: {}, body: '{}' }
  const late = { isDelivered: false, errorCode: 'timed_out' }
  t.same(await Promise.all([send(one), send(one)]), [late, late])
  const third = send(one)
  t.equal(asked, 1, 'a resolver that does not answer is not asked again meanwhile')
  answer.resolve([LOCAL])
  t.same(await third, { isDelivered: false, errorCode: 'address_refused' })
  await send(one)
  t.equal(asked, 2, 'an answer is not kept')
})

test('plain http is for addresses that the operator has listed', async (t) => {
  const insecure = { isDelivered: false, errorCode: 'insecure_address' }
  t.same(await post('http://93.184.215.14/'), insecure)
  t.same(
    await post('http://hooks.example/', { resolve: async () => [PUBLIC], allowed: ['10.0.0.0/8'] }),
    insecure,
  )
})

test('redirects are not followed, 410 is told apart, and Retry-After is read in both forms', async (t) => {
  const receiver = await startReceiver(t)
  const elsewhere = await startReceiver(t)
  const answered = async (status: number, headers: Record<string, string> = {}) => {
    receiver.answer((_request, response) => void response.writeHead(status, headers).end('no'))
    return post(receiver.url, { allowed: ['127.0.0.0/8'] })
  }
  const failed = (errorCode: string, status: number) => ({ isDelivered: false, errorCode, status })
  for (const status of [301, 302, 307, 308])
    t.same(await answered(status, { location: elsewhere.url }), failed('redirected', status))
  t.same(elsewhere.received, [])
  t.same(await answered(410), failed('gone', 410))
  t.same(await answered(400, { 'retry-after': '9' }), failed('refused', 400))
  t.same(await answered(429, { 'retry-after': '9' }), { ...failed('refused', 429), retryAfter: 9 })
  const later = new Date(Date.now() + 60_000).toUTCString()
  const dated = await answered(503, { 'retry-after': later })
  t.ok('retryAfter' in dated && Number(dated.retryAfter) > 50 && Number(dated.retryAfter) <= 60)
  t.same(await answered(503, { 'retry-after': 'soon' }), failed('refused', 503))
})

test('of the answer no more than 1 KiB is read', async (t) => {
  const receiver = await startReceiver(t)
  const cut = new Promise((resolve) => {
    receiver.answer((_request, response) => {
      response.writeHead(200)
      const more = setInterval(() => response.write('x'.repeat(600)), 5)
      response.on('close', () => {
        clearInterval(more)
        resolve(response.writableEnded)
      })
    })
  })
  t.same(await post(receiver.url, { allowed: ['127.0.0.1'] }), { isDelivered: true, status: 200 })
  t.equal(await cut, false, 'the service has closed the connection before the answer was over')
})

test('an attempt goes on while its connection is open, and the status counts however the answer ends', async (t) => {
  const receiver = await startReceiver(t)
  const attempt = async (end: (response: ServerResponse) => void) => {
    const held = Promise.withResolvers<ServerResponse>()
    receiver.answer((_request, response) => {
      response.writeHead(200).write('o')
      held.resolve(response)
    })
    let isOver = false
    const first = post(receiver.url, { allowed: ['127.0.0.1'], timeoutMs: 2_000 })
    void first.finally(() => {
      isOver = true
    })
    const response = await held.promise
    receiver.answer((_request, other) => void other.writeHead(204).end())
    await post(receiver.url, { allowed: ['127.0.0.1'] })
    t.notOk(isOver, 'it holds its place among the attempts at this receiver')
    end(response)
    t.same(await first, { isDelivered: true, status: 200 })
  }
  await attempt((response) => void response.end())
  await attempt((response) => void response.destroy())
  await attempt(() => {})
})

test('an attempt ends at its time limit, whatever it waits for', async (t) => {
  const silent = createServer(() => {}).listen(0, '127.0.0.1')
  await once(silent, 'listening')
  t.teardown(() => silent.close())
  const { port } = silent.address() as { port: number }
  const options = { allowed: ['127.0.0.1'], timeoutMs: 100 }
  const late = { isDelivered: false, errorCode: 'timed_out' }
  t.same(await post(`http://127.0.0.1:${port}/`, options), late, 'the answer')
  t.same(await post(`https://127.0.0.1:${port}/`, options), late, 'the handshake')
  const resolve = () => new Promise<never>(() => {})
  t.same(await post(`https://hooks.example:${port}/`, { ...options, resolve }), late, 'the name')
  t.same(await post('http://127.0.0.1:1/', options), { isDelivered: false, errorCode: 'connection_failed' })
})
