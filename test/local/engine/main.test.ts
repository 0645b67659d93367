import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { test } from 'tap'
import { processesWith, startProcess } from '../../support/process.ts'
import { startService } from '../../support/service.ts'

const MAIN = [process.execPath, 'src/local/engine/main.ts']
const KEY = 'tr_dev_of_the_engine_test'

test('the local engine runs alone: health without a key, turns for several services, an end that leaves nothing', async (t) => {
  const engine = startProcess(t, MAIN, {
    environment: { TRIGGER_SECRET_KEY: KEY, LOCAL_ENGINE_PORT: '0', AGENT_OFFLINE_WORD_MS: '1' },
  })
  const [, url = ''] = await engine.line(/"url":"([^"]+)","msg":"the local engine listens on/)
  const health = await fetch(`${url}/healthcheck`)
  t.equal(health.status, 200)
  t.equal(await health.text(), 'OK')
  t.equal((await fetch(`${url}/api/v1/runs`)).status, 401)

  const one = await startService(t, { engine: { url, secretKey: KEY } as never })
  const two = await startService(t, {
    engine: { url, secretKey: KEY } as never,
    databaseUrl: one.databaseUrl,
  })
  const { body } = await one.call('POST', '/api/agent/chat', { body: { message: 'What is 17 * 23?' } })
  t.match((await two.ended(body.runId)).body, { status: 'completed', text: '17 * 23 = 391.' })

  engine.signal('SIGTERM')
  t.strictSame(await engine.ended, { code: 0, signal: null })
  t.strictSame(processesWith(KEY), [])
})

test('the local engine names the faults of its environment', async (t) => {
  const withoutKey = startProcess(t, MAIN)
  t.equal((await withoutKey.ended).code, 1)
  t.match(withoutKey.output(), /TRIGGER_SECRET_KEY is required/)

  const badPort = startProcess(t, MAIN, { environment: { TRIGGER_SECRET_KEY: KEY, LOCAL_ENGINE_PORT: 'x' } })
  t.equal((await badPort.ended).code, 1)
  t.match(badPort.output(), /LOCAL_ENGINE_PORT must be a whole number/)

  const taken = createServer().listen(0, '127.0.0.1')
  await once(taken, 'listening')
  t.teardown(() => taken.close())
  const { port } = taken.address() as AddressInfo
  const second = startProcess(t, MAIN, {
    environment: { TRIGGER_SECRET_KEY: KEY, LOCAL_ENGINE_PORT: String(port) },
  })
  t.equal((await second.ended).code, 1)
  t.match(second.output(), `port ${port} on 127.0.0.1 is taken by another process. Set LOCAL_ENGINE_PORT`)
})
