import { type Test, test } from 'tap'
import { barriers } from '../browser/axe.ts'
import { openPlayground } from '../browser/playground-person.ts'
import { openBrowser, openPage, WITHOUT_BROWSER } from '../support/browser.ts'
import { type Service, startService, token } from '../support/service.ts'
import { tryBehaviours } from './behaviours.ts'
import { freePort, missing, startProxy } from './programs.ts'

test('nginx with HTTP/1.1, compression and a path', { skip: missing('nginx', 'curl') }, async (t) => {
  const PORT = await freePort()
  const url = `http://127.0.0.1:${PORT}/svc`
  const service = await startService(t, { environment: { PUBLIC_URL: url, PLAYGROUND: 'true' } })
  await startProxy(t, 'nginx', 'nginx-path.conf', { UPSTREAM: new URL(service.url).host, PORT })
  await t.test('Location leads to the run', (t) => location(t, url, service))
  await t.test('Swagger UI and what it asks for are under the path', (t) => swaggerUi(t, url))
  await t.test('"Try it out" works in a browser', { skip: WITHOUT_BROWSER }, (t) => tryItOut(t, url))
  await t.test('the playground works, with a token of the user', { skip: WITHOUT_BROWSER }, (t) =>
    talk(t, url),
  )
  await tryBehaviours(t, { service, url })
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

async function tryItOut(t: Test, url: string): Promise<void> {
  const page = await openPage(await openBrowser(t))
  await page.goto(`${url}/docs`)
  await page.locator('.authorize').first().click()
  await page.locator('.auth-container input').fill(await token('alice'))
  await page.locator('.auth-btn-wrapper .authorize').click()
  await page.locator('.btn-done').click()
  const operation = page.locator('#operations-chat-startAgentChat')
  await operation.locator('.opblock-summary-control').click()
  await operation.locator('.try-out__btn').click()
  const answer = page.waitForResponse((response) => /\/api\/agent\/chat$/.test(response.url()))
  await operation.locator('.execute').click()
  t.equal((await answer).url(), `${url}/api/agent/chat`)
  t.equal((await answer).status(), 202)
}

async function talk(t: Test, url: string): Promise<void> {
  const ada = await openPlayground(t, await openBrowser(t), `${url}/playground`)
  await ada.page.getByLabel('Token').fill('no token')
  await ada.press('Use the token')
  await ada.problem.getByText('token').first().waitFor()
  t.same(await barriers(ada.page), [])
  await ada.page.getByLabel('Token').fill(await token('alice'))
  await ada.press('Use the token')
  await ada.ask('What is 17 * 23?')
  await ada.says(0, '17 * 23 = 391.')
  await ada.page.reload()
  await ada.says(0, '17 * 23 = 391.')
  t.equal(await ada.page.evaluate('Object.keys(localStorage).length'), 0, 'the token ends with the tab')
}
