import { once } from 'node:events'
import { createServer, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import t from 'tap'
import { startEngine, startService, type Teardown } from '../support/service.ts'

/** A proxy before an engine that counts the calls by method and path. It does not count long polls of subscriptions. */
async function countingProxy(t: Teardown, engineUrl: string) {
  const calls = new Map<string, number>()
  const server = createServer((incoming, answer) => {
    const { method = 'GET', url = '', headers } = incoming
    if (!url.startsWith('/realtime/v1/runs')) {
      const call = `${method} ${url.replace(/\?.*/, '').replace(/run_[^/]+/, ':runId')}`
      calls.set(call, (calls.get(call) ?? 0) + 1)
    }
    const onward = request(new URL(url, engineUrl), { method, headers })
    onward.on('response', (response) => {
      answer.writeHead(response.statusCode ?? 500, response.headers)
      response.pipe(answer)
    })
    onward.on('error', () => answer.destroy())
    answer.on('close', () => onward.destroy())
    incoming.pipe(onward)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, calls }
}

const RUNS = 50

t.test('a run costs at most four calls of the engine, with observer and sweeper', async (t) => {
  // The engine executes four runs at a time, so that the others wait until the sweeper asks for them.
  const engine = await startEngine(t, { maxChildren: 4, childEnv: { AGENT_OFFLINE_WORD_MS: '5' } })
  const proxy = await countingProxy(t, engine.url)
  const { call, ended } = await startService(t, { engine: { ...engine, url: proxy.url } })
  proxy.calls.clear()
  const message = 'Tell a story with 40 sentences.'
  const starts = await Promise.all(
    Array.from({ length: RUNS }, () => call('POST', '/api/agent/chat', { body: { message } })),
  )
  const ends = await Promise.all(starts.map(({ body }) => ended(body.runId)))
  for (const { body } of ends) t.match(body, { status: 'completed' })
  const counts = [...proxy.calls].sort(([, a], [, b]) => b - a)
  t.comment(Object.fromEntries(counts))
  t.equal(proxy.calls.get('POST /api/v1/tasks/agent-chat/trigger'), RUNS)
  const total = counts.reduce((sum, [, n]) => sum + n, 0)
  t.ok(total <= 4 * RUNS, `${total} calls for ${RUNS} runs`)
})
