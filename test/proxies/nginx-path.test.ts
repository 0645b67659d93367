import { type Test, test } from 'tap'
import { type Service, startService } from '../support/service.ts'
import { type Todo, tryBehaviours } from './behaviours.ts'
import { freePort, missing, startProxy } from './programs.ts'

const PREFIX = { todo: 'Addresses have to begin with the path of PUBLIC_URL.' }
const todo: Todo = {
  'a large body at an unknown address is answered as such':
    'An unknown address has to be refused before its body is read.',
}

test('nginx with HTTP/1.1, compression and a path', { skip: missing('nginx', 'curl') }, async (t) => {
  const PORT = await freePort()
  const url = `http://127.0.0.1:${PORT}/svc`
  const service = await startService(t, { environment: { PUBLIC_URL: url } })
  await startProxy(t, 'nginx', 'nginx-path.conf', { UPSTREAM: new URL(service.url).host, PORT })
  await t.test('Location leads to the run', PREFIX, (t) => location(t, url, service))
  await t.test('Swagger UI and what it asks for are under the path', PREFIX, (t) => swaggerUi(t, url))
  await tryBehaviours(t, { service, url, todo })
})

async function location(t: Test, url: string, service: Service): Promise<void> {
  const direct = await service.call('POST', '/api/agent/chat', { body: { message: 'Hello' } })
  const where = new URL(direct.headers.get('location') ?? '', `${url}/api/agent/chat`)
  t.equal(where.href, `${url}/api/agent/chat/${direct.body.runId}`)
  const refused = (await (await fetch(where)).json()) as { type: string }
  t.match(refused, { status: 401, type: '/svc/problems/unauthorized' })
  const explained = await fetch(new URL(refused.type, where))
  t.equal(explained.status, 200, 'the type of a problem is an address that explains it')
}

async function swaggerUi(t: Test, url: string): Promise<void> {
  const page = await fetch(`${url}/docs`)
  t.equal(page.status, 200)
  const html = await page.text()
  const sources = [...html.matchAll(/(?:src|href)="([^"#]+)"/g)].map(([, source = '']) => source)
  t.ok(sources.length >= 4, 'the page has scripts and styles')
  for (const source of sources) {
    const asset = new URL(source, page.url)
    t.ok(asset.href.startsWith(`${url}/`), asset.href)
    const { status } = await fetch(asset)
    t.equal(status, 200, asset.href)
  }
  const description = (await (await fetch(`${url}/openapi.json`)).json()) as { servers?: { url: string }[] }
  const server = new URL(description.servers?.[0]?.url ?? '/', `${url}/openapi.json`).href.replace(/\/$/, '')
  t.equal(server, url, '"Try it out" asks under the path')
}
