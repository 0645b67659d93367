import { createServer } from 'node:http'
import { findPackageJSON } from 'node:module'
import type { AddressInfo } from 'node:net'
import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import type { Browser } from 'playwright-core'
import t, { type Test } from 'tap'
import { UI_VERSIONS, type UiVersion } from '../../src/streams/vocabulary.ts'
import { REACT } from '../streams/clients.ts'
import { ready } from '../streams/sse.ts'
import { openBrowser, WITHOUT_BROWSER } from '../support/browser.ts'
import { type Service, startEngine, startService, token } from '../support/service.ts'

/** The page's script, made with the packages of that version. */
async function bundle(ui: UiVersion): Promise<string | undefined> {
  const ai = findPackageJSON('ai', import.meta.resolve(REACT[ui])) ?? ''
  const { outputFiles } = await build({
    entryPoints: [fileURLToPath(new URL('page.mjs', import.meta.url))],
    bundle: true,
    format: 'esm',
    write: false,
    define: { 'process.env.NODE_ENV': '"production"' },
    alias: { '@ai-sdk/react': REACT[ui], ai: dirname(ai) },
  })
  return outputFiles[0]?.text
}

/** Serves the pages, `/5`, `/6` and `/7`, from an origin of their own. */
async function servePages(t: Test): Promise<string> {
  const scripts = new Map<string | undefined, string | undefined>()
  for (const ui of UI_VERSIONS) scripts.set(`/${ui}.js`, await bundle(ui))
  const server = createServer(({ url }, response) => {
    const script = scripts.get(url)
    const page = `<!doctype html><div id="root"></div><script type="module" src="${url}.js"></script>`
    const type = script === undefined ? 'text/html' : 'text/javascript'
    response.writeHead(200, { 'content-type': `${type}; charset=utf-8` }).end(script ?? page)
  }).listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  t.teardown(() => {
    server.close()
    server.closeAllConnections()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

interface Stage {
  origin: string
  browser: Browser
  service: Service
}

/** A question, a reload in the middle of its answer, and another question. */
async function play(t: Test, ui: UiVersion, { origin, browser, service }: Stage): Promise<void> {
  const conversation = await service.call('POST', '/api/agent/conversations', { body: {} })
  const conversationId: string = conversation.body.id
  const query = ui === 6 ? '' : `?ui=${ui}`
  const hash = new URLSearchParams({
    service: service.url,
    token: await token('alice'),
    conversationId,
    query,
  })

  const page = await browser.newPage()
  const faults: string[] = []
  page.on('pageerror', (error) => faults.push(String(error)))
  const asked: string[] = []
  page.on('request', (request) => {
    const [, address] = request.url().split('/api/agent/chat/stream')
    if (address !== undefined && request.method() !== 'OPTIONS') asked.push(`${request.method()} ${address}`)
  })
  const statusIs = (status: string) => page.locator('#status', { hasText: status }).waitFor()
  const textOf = async (role: string) => page.locator(`.${role}`).allTextContents()
  const saysMoreThan = (length: number) =>
    page.waitForFunction(`document.querySelector('.assistant')?.textContent.length > ${length}`)

  await page.goto(`${origin}/${ui}#${hash}`)
  await statusIs('ready')
  await page.locator('input').fill('Tell me a story of 12 sentences')
  await page.locator('input').press('Enter')
  await saysMoreThan(60)
  t.equal(await page.locator('#status').textContent(), 'streaming')
  const { body: running } = await service.call('GET', `/api/agent/chat?conversationId=${conversationId}`)
  const { runId } = running.data[0]

  await page.reload()
  await statusIs('streaming')
  await saysMoreThan(60)
  const inTheMiddle = (await textOf('assistant'))[0] ?? ''
  await statusIs('ready')
  const { body } = await service.ended(runId)
  t.equal(body.status, 'completed')
  t.ok(inTheMiddle.length < body.text.length && body.text.startsWith(inTheMiddle), 'the rest came live')
  t.same(await textOf('assistant'), [body.text])
  t.same(await textOf('user'), ['Tell me a story of 12 sentences'])

  await page.locator('input').fill('What was my first question?')
  await page.locator('input').press('Enter')
  await page.locator('.assistant').nth(1).waitFor()
  await statusIs('ready')
  t.match((await textOf('assistant'))[1], /Tell me a story of 12 sentences/, 'the conversation goes on')
  const { body: stored } = await service.call('GET', `/api/agent/conversations/${conversationId}/messages`)
  t.same(
    stored.data
      .map(({ text }: { text: string }) => text)
      .filter((_: string, place: number) => place % 2 === 1),
    await textOf('assistant'),
  )
  const resume = `GET /${conversationId}/stream${query}`
  t.same(asked, [resume, `POST ${query}`, resume, `POST ${query}`])
  t.same(faults, [])
}

t.test(
  'pages with the stock useChat stream an answer, are reloaded in the middle, and go on',
  { skip: WITHOUT_BROWSER },
  async (t) => {
    const [origin, browser, engine] = await Promise.all([
      servePages(t),
      openBrowser(t),
      startEngine(t, { childEnv: { AGENT_OFFLINE_WORD_MS: '60' } }),
    ])
    const service = await startService(t, { engine, environment: { CORS_ORIGINS: origin } })
    await ready(service)
    // Side by side: they spend their time waiting for words.
    t.jobs = UI_VERSIONS.length
    for (const ui of UI_VERSIONS)
      t.test(`AI SDK ${ui}`, { buffered: true }, (t) => play(t, ui, { origin, browser, service }))
  },
)
