import { test } from 'tap'
import { startService } from '../support/service.ts'
import { type Todo, tryBehaviours } from './behaviours.ts'
import { freePort, missing, startProxy } from './programs.ts'

const todo: Todo = {
  'a large body at an unknown address is answered as such':
    'An unknown address has to be refused before its body is read.',
}

test('HAProxy with compression', { skip: missing('haproxy', 'curl') }, async (t) => {
  const service = await startService(t)
  const PORT = await freePort()
  await startProxy(t, 'haproxy', 'haproxy.cfg', { UPSTREAM: new URL(service.url).host, PORT })
  await tryBehaviours(t, { service, url: `http://127.0.0.1:${PORT}`, todo })
})
