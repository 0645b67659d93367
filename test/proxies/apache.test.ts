import { existsSync } from 'node:fs'
import { test } from 'tap'
import { startService } from '../support/service.ts'
import { type Todo, tryBehaviours } from './behaviours.ts'
import { freePort, missing, startProxy } from './programs.ts'

const MODULES = '/usr/lib/apache2/modules'
const skip = missing('apache2', 'curl') || (existsSync(MODULES) ? false : `There is no ${MODULES}.`)

const todo: Todo = {
  'a large body at an unknown address is answered as such':
    'An unknown address has to be refused before its body is read.',
  'the refusal of a large body arrives': 'A refusal has to arrive although its body is still on the way.',
  'an entity tag answers 304 after compression': 'Tags have to match whatever mod_deflate appends to them.',
}

test('Apache with mod_proxy_http and mod_deflate', { skip }, async (t) => {
  const service = await startService(t)
  const PORT = await freePort()
  await startProxy(t, 'apache2', 'apache.conf', { UPSTREAM: new URL(service.url).host, PORT, MODULES })
  await tryBehaviours(t, { service, url: `http://127.0.0.1:${PORT}`, todo })
})
