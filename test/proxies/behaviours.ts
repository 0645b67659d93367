import type { Test } from 'tap'
import { type Service, token } from '../support/service.ts'
import { curl } from './curl.ts'

interface Proxied {
  service: Service
  /** Where callers reach the service through the proxy; no slash at its end. */
  url: string
}

type Check = (t: Test, proxied: Proxied) => Promise<void>

const STALLS = '[[stall-after:3]] story'
/** Longer than the 2 MiB that the service takes. */
const LARGE = JSON.stringify({ message: 'x'.repeat(5_000_000) })

/** What callers see through every proxy. */
const CHECKS: Record<string, Check> = {
  'a whole stream arrives as it is written': wholeStream,
  'the refusal of a large body arrives': refusals,
  'a large body at an unknown address is answered as such': unknownAddress,
  'an entity tag answers 304 after compression': entityTag,
  'a long poll is answered when its run changes': longPoll,
  // The last one: an instance that drains does not come back.
  'a stream that is cut looks cut': cutStream,
}

/** Tries everything through one proxy. */
export async function tryBehaviours(t: Test, proxied: Proxied): Promise<void> {
  for (const [name, check] of Object.entries(CHECKS)) await t.test(name, (t) => check(t, proxied))
}

async function stream({ url }: Proxied, text: string) {
  const messages = [{ id: '1', role: 'user', parts: [{ type: 'text', text }] }]
  return curl(`${url}/api/agent/chat/stream`, {
    headers: { ...(await bearer()), 'content-type': 'application/json' },
    body: JSON.stringify({ messages }),
  })
}

async function cutStream(t: Test, proxied: Proxied): Promise<void> {
  const reading = await stream(proxied, STALLS)
  await reading.received(/text-delta/)
  proxied.service.app.streams.drain()
  const { code, text, complaint } = await reading.ended
  t.equal(code, 18, `curl says that the answer broke off: ${complaint}`)
  t.notMatch(text, /\[DONE\]/)
}

async function wholeStream(t: Test, proxied: Proxied): Promise<void> {
  const reading = await stream(proxied, STALLS)
  const first = await reading.received(/text-delta/)
  t.notMatch(first, /\[DONE\]/, 'the first words arrive while the run goes on')
  const [, runId] = first.match(/"runId":"(run_\w+)"/) ?? []
  await proxied.service.call('POST', `/api/agent/chat/${runId}/cancel`)
  const { code, text } = await reading.ended
  t.equal(code, 0)
  t.match(text, /\[DONE\]\n+$/)
}

const JSON_BODY = { 'content-type': 'application/json' }

async function refusals(t: Test, proxied: Proxied): Promise<void> {
  const path = '/api/agent/chat'
  const withToken = { ...JSON_BODY, ...(await bearer()) }
  await refused(t, proxied, { path, headers: withToken, status: 413, code: 'payload_too_large' })
  await refused(t, proxied, { path, headers: JSON_BODY, status: 401, code: 'unauthorized' })
}

async function unknownAddress(t: Test, proxied: Proxied): Promise<void> {
  await refused(t, proxied, { path: '/no/such/address', headers: JSON_BODY, status: 404, code: 'not_found' })
}

interface Refusal {
  path: string
  headers: Record<string, string>
  status: number
  code: string
}

async function refused(t: Test, { url }: Proxied, { path, headers, status, code }: Refusal): Promise<void> {
  const { code: exit, text, complaint } = await curl(url + path, { headers, body: LARGE }).ended
  t.equal(exit, 0, `${status} arrives: ${complaint}`)
  t.match(text, `"code":"${code}"`)
  t.match(text, `"status":${status}`)
}

async function entityTag(t: Test, { url, service }: Proxied): Promise<void> {
  const { body } = await service.call('POST', '/api/agent/chat', { body: { message: 'Hello' } })
  await service.ended(body.runId)
  const headers = { ...(await bearer()), 'accept-encoding': 'gzip' }
  const address = `${url}/api/agent/chat/${body.runId}`
  const first = await fetch(address, { headers })
  t.equal(first.status, 200)
  t.match(await first.json(), { status: 'completed' })
  const tag = first.headers.get('etag') ?? ''
  t.ok(tag, 'the answer has a tag')
  const again = await fetch(address, { headers: { ...headers, 'if-none-match': tag } })
  t.equal(again.status, 304, `${tag}, ${first.headers.get('content-encoding')}`)
}

async function longPoll(t: Test, { url, service }: Proxied): Promise<void> {
  const { body } = await service.call('POST', '/api/agent/chat', { body: { message: STALLS } })
  const address = `${url}/api/agent/chat/${body.runId}`
  const headers = { ...(await bearer()), 'accept-encoding': 'gzip' }
  const started = await service.call('GET', `/api/agent/chat/${body.runId}`)
  const waiting = fetch(`${address}?wait=30`, {
    headers: { ...headers, 'if-none-match': started.headers.get('etag') ?? '' },
  })
  await service.call('POST', `/api/agent/chat/${body.runId}/cancel`)
  let answer = await waiting
  for (;;) {
    const { status } = (await answer.json()) as { status: string }
    if (status === 'cancelled') break
    const tag = answer.headers.get('etag') ?? ''
    answer = await fetch(`${address}?wait=30`, { headers: { ...headers, 'if-none-match': tag } })
  }
  t.equal(answer.status, 200)
}

const bearer = async () => ({ authorization: `Bearer ${await token('alice')}` })
