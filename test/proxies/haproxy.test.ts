import { test } from 'tap'
import { startService } from '../support/service.ts'
import { tryBehaviours } from './behaviours.ts'
import { freePort, missing, startProxy } from './programs.ts'

test('HAProxy with compression', { skip: missing('haproxy', 'curl') }, async (t) => {
  const service = await startService(t)
  const PORT = await freePort()
  await startProxy(t, 'haproxy', 'haproxy.cfg', { UPSTREAM: new URL(service.url).host, PORT })
  await tryBehaviours(t, { service, url: `http://127.0.0.1:${PORT}` })
})
