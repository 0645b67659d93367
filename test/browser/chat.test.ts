import { existsSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import { type Browser, chromium } from 'playwright-core'
import t, { type Test } from 'tap'
import { ready } from '../streams/sse.ts'
import { startEngine, startService, token } from '../support/service.ts'

const CHROMIUM = [
  process.env.CHROMIUM_PATH,
  '/usr/bin/chromium',
  '/usr/bin/chromium-browser',
  '/usr/bin/google-chrome',
  '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
].find((path) => path !== undefined && existsSync(path))

/** Serves the page, bundled, from an origin of its own. */
async function servePage(t: Test): Promise<string> {
  const { outputFiles } = await build({
    entryPoints: [fileURLToPath(new URL('page.mjs', import.meta.url))],
    bundle: true,
    format: 'esm',
    write: false,
    define: { 'process.env.NODE_ENV': '"production"' },
  })
  const script = outputFiles[0]?.text
  const server = createServer((request, response) => {
    const [type, body] =
      request.url === '/page.js'
        ? ['text/javascript', script]
        : ['text/html', '<!doctype html><div id="root"></div><script type="module" src="/page.js"></script>']
    response.writeHead(200, { 'content-type': `${type}; charset=utf-8` }).end(body)
  }).listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  t.teardown(() => {
    server.close()
    server.closeAllConnections()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

async function openBrowser(t: Test): Promise<Browser> {
  const browser = await chromium.launch({ executablePath: CHROMIUM ?? '', args: ['--no-sandbox'] })
  t.teardown(() => browser.close())
  return browser
}

t.test(
  'a page with the stock useChat streams an answer, is reloaded in the middle, and goes on',
  { skip: CHROMIUM === undefined && 'no Chromium was found: set CHROMIUM_PATH to try this' },
  async (t) => {
    const [origin, browser, engine] = await Promise.all([
      servePage(t),
      openBrowser(t),
      startEngine(t, { childEnv: { AGENT_OFFLINE_WORD_MS: '60' } }),
    ])
    const service = await startService(t, { engine, environment: { CORS_ORIGINS: origin } })
    await ready(service)
    const conversation = await service.call('POST', '/api/agent/conversations', { body: {} })
    const conversationId: string = conversation.body.id
    const hash = new URLSearchParams({ service: service.url, token: await token('alice'), conversationId })

    const page = await browser.newPage()
    const faults: string[] = []
    page.on('pageerror', (error) => faults.push(String(error)))
    const statusIs = (status: string) => page.locator('#status', { hasText: status }).waitFor()
    const textOf = async (role: string) => page.locator(`.${role}`).allTextContents()
    const saysMoreThan = (length: number) =>
      page.waitForFunction(`document.querySelector('.assistant')?.textContent.length > ${length}`)

    await page.goto(`${origin}/#${hash}`)
    await statusIs('ready')
    await page.locator('input').fill('Tell me a story of 12 sentences')
    await page.locator('input').press('Enter')
    await saysMoreThan(60)
    t.equal(await page.locator('#status').textContent(), 'streaming')
    const { body: running } = await service.call('GET', '/api/agent/chat')
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
    t.same(faults, [])
  },
)
