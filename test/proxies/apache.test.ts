import { existsSync } from 'node:fs'
import { test } from 'tap'
import { startService } from '../support/service.ts'
import { tryBehaviours } from './behaviours.ts'
import { freePort, missing, startProxy } from './programs.ts'

const MODULES = '/usr/lib/apache2/modules'
const skip = missing('apache2', 'curl') || (existsSync(MODULES) ? false : `There is no ${MODULES}.`)

test('Apache with mod_proxy_http and mod_deflate', { skip }, async (t) => {
  const service = await startService(t)
  const PORT = await freePort()
  await startProxy(t, 'apache2', 'apache.conf', { UPSTREAM: new URL(service.url).host, PORT, MODULES })
  await tryBehaviours(t, { service, url: `http://127.0.0.1:${PORT}` })
})
