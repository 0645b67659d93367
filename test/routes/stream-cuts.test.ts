import t, { type Test } from 'tap'
import { rawRequest } from '../streams/raw-client.ts'
import { ready, userMessage } from '../streams/sse.ts'
import { NGINX, startNginx } from '../support/nginx.ts'
import { type Service, startEngine, startService, token } from '../support/service.ts'

const STREAM = '/api/agent/chat/stream'
const DONE = 'data: [DONE]'
/** Says a word and is silent then. */
const body = { messages: [userMessage('[[tool-stall:30]] Please wait')] }

/** Asks over HTTP/1.0, where only the way in which a connection ends tells whole answers from cut ones. */
const ask = async (url: string, lifetime = '1h') => {
  const authorization = `Bearer ${await token('alice', {}, lifetime)}`
  return rawRequest(url, { method: 'POST', path: STREAM, body, authorization })
}

const cancelAll = async (service: Service) => {
  const { body } = await service.call('GET', '/api/agent/chat?status=queued,running')
  for (const { runId } of body.data) await service.call('POST', `/api/agent/chat/${runId}/cancel`)
}

const isCut = (t: Test, ending: string, text: string) => {
  t.equal(ending, 'ECONNRESET', text)
  t.match(text, '200 OK')
  t.notMatch(text, DONE)
}

t.test('to a client of HTTP/1.0, to which a closed connection is a whole answer', async (t) => {
  const engine = await startEngine(t, { childEnv: { AGENT_OFFLINE_WORD_MS: '10' } })
  const service = await startService(t, { engine })
  const draining = await startService(t, { engine, databaseUrl: service.databaseUrl })
  await ready(service, draining)
  t.teardown(() => cancelAll(service))

  t.test('a stream whose token expires is reset', async (t) => {
    const client = await ask(service.url, '4s')
    isCut(t, await client.closed, client.body())
  })

  t.test('a stream of an instance that drains is reset', async (t) => {
    const client = await ask(draining.url)
    await client.until('tool-input-available')
    await draining.close()
    isCut(t, await client.closed, client.body())
  })

  t.test('a whole stream ends with [DONE] and is closed', async (t) => {
    const messages = [userMessage('What is 2 + 3?')]
    const client = await rawRequest(service.url, { method: 'POST', path: STREAM, body: { messages } })
    t.equal(await client.closed, 'end')
    t.match(client.body(), /data: \[DONE\]\n\n$/)
  })
})

t.test(
  'behind an nginx as it is installed, which speaks HTTP/1.0 to the service',
  { skip: NGINX === undefined && 'no nginx was found: set NGINX_PATH to try this' },
  async (t) => {
    const engine = await startEngine(t, { childEnv: { AGENT_OFFLINE_WORD_MS: '10' } })
    const service = await startService(t, { engine })
    const draining = await startService(t, { engine, databaseUrl: service.databaseUrl })
    await ready(service, draining)
    t.teardown(() => cancelAll(service))
    const [url, drainingUrl] = await Promise.all([startNginx(t, service.url), startNginx(t, draining.url)])

    /** As browsers ask: an error while the body is read is the only sign of a cut. */
    const read = async (url: string, lifetime: string, onWord: () => unknown = () => {}) => {
      const authorization = `Bearer ${await token('alice', {}, lifetime)}`
      const headers = { authorization, 'content-type': 'application/json' }
      const response = await fetch(url + STREAM, { method: 'POST', headers, body: JSON.stringify(body) })
      let text = ''
      try {
        for await (const bytes of response.body ?? []) {
          text += Buffer.from(bytes)
          if (text.includes('tool-input-available')) onWord()
        }
        return { text, end: 'end' }
      } catch {
        return { text, end: 'cut' }
      }
    }

    t.test('a stream whose token expires is an error to the client', async (t) => {
      const { text, end } = await read(url, '4s')
      t.equal(end, 'cut', text)
      t.notMatch(text, DONE)
    })

    t.test('a stream of an instance that drains is an error to the client', async (t) => {
      let closed: Promise<void> | undefined
      const { text, end } = await read(drainingUrl, '1h', () => {
        closed ??= draining.close()
      })
      t.equal(end, 'cut', text)
      t.notMatch(text, DONE)
      await closed
    })

    t.test('a whole stream ends with [DONE]', async (t) => {
      const headers = { authorization: `Bearer ${await token('alice')}`, 'content-type': 'application/json' }
      const messages = [userMessage('What is 2 + 3?')]
      const response = await fetch(url + STREAM, {
        method: 'POST',
        headers,
        body: JSON.stringify({ messages }),
      })
      t.match(await response.text(), /data: \[DONE\]\n\n$/)
    })
  },
)
