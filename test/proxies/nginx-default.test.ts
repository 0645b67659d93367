import { test } from 'tap'
import { startService } from '../support/service.ts'
import { tryBehaviours } from './behaviours.ts'
import { freePort, missing, startProxy } from './programs.ts'

test('nginx with its default proxy_pass', { skip: missing('nginx', 'curl') }, async (t) => {
  const service = await startService(t)
  const PORT = await freePort()
  await startProxy(t, 'nginx', 'nginx-default.conf', { UPSTREAM: new URL(service.url).host, PORT })
  await tryBehaviours(t, { service, url: `http://127.0.0.1:${PORT}` })
})
