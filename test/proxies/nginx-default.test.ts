import { test } from 'tap'
import { startService } from '../support/service.ts'
import { type Todo, tryBehaviours } from './behaviours.ts'
import { freePort, missing, startProxy } from './programs.ts'

const todo: Todo = {
  'a large body at an unknown address is answered as such':
    'An unknown address has to be refused before its body is read.',
  'a stream that is cut looks cut':
    'A cut stream has to reset its connection: HTTP/1.0 takes a close for the end.',
}

test('nginx with its default proxy_pass', { skip: missing('nginx', 'curl') }, async (t) => {
  const service = await startService(t)
  const PORT = await freePort()
  await startProxy(t, 'nginx', 'nginx-default.conf', { UPSTREAM: new URL(service.url).host, PORT })
  await tryBehaviours(t, { service, url: `http://127.0.0.1:${PORT}`, todo })
})
