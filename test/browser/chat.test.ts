import { createServer } from 'node:http'
import { findPackageJSON } from 'node:module'
import type { AddressInfo } from 'node:net'
import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import type { Browser, Page } from 'playwright-core'
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

/** What a person does with the page, and sees. */
function person(page: Page) {
  const textsOf = (role: string) => page.locator(`.${role}`).allTextContents()
  return {
    textsOf,
    statusIs: (status: string) => page.locator('#status', { hasText: status }).waitFor(),
    error: () => page.locator('#error').textContent(),
    async say(text: string) {
      await page.locator('input').fill(text)
      await page.locator('input').press('Enter')
    },
    /** Waits for the answer with that number, from 0 on, to be longer than so many characters. */
    saysMoreThan: (length: number, answer: number) =>
      page.waitForFunction(
        `(document.querySelectorAll('.assistant')[${answer}]?.textContent.length ?? 0) > ${length}`,
      ),
    conversationId: () => new URL(page.url()).hash.match(/conversationId=([\da-f-]+)/)?.[1] ?? '',
  }
}

/** Three questions, a reload in the middle of the third answer, a failure, a stop, and a token that has expired. */
async function play(t: Test, ui: UiVersion, { origin, browser, service }: Stage): Promise<void> {
  const user = `alice-${ui}`
  const address = (bearer: string, conversationId?: string) =>
    `${origin}/${ui}#${new URLSearchParams({
      service: service.url,
      token: bearer,
      ui: String(ui),
      ...(conversationId === undefined ? {} : { conversationId }),
    })}`
  const page = await browser.newPage()
  const faults: string[] = []
  page.on('pageerror', (error) => faults.push(String(error)))
  const { statusIs, textsOf, say, saysMoreThan, error, conversationId } = person(page)
  const stored = async () =>
    (await service.call('GET', `/api/agent/conversations/${conversationId()}/messages`, { user })).body.data

  await page.goto(address(await token(user)))
  await statusIs('ready')
  await say('My name is Ada')
  await saysMoreThan(0, 0)
  await statusIs('ready')
  await say('What is my name?')
  await saysMoreThan(0, 1)
  await statusIs('ready')
  t.match((await textsOf('assistant'))[1], /Ada/, 'the conversation goes on')

  await say('Tell me a story of 40 sentences')
  await saysMoreThan(60, 2)
  t.equal(await page.locator('#status').textContent(), 'streaming')
  await page.reload()
  await statusIs('streaming')
  await saysMoreThan(60, 2)
  const inTheMiddle = (await textsOf('assistant'))[2] ?? ''
  await statusIs('ready')
  const [, , , , , story] = await stored()
  t.ok(inTheMiddle.length < story.text.length && story.text.startsWith(inTheMiddle), 'the rest came live')
  t.equal((await textsOf('assistant'))[2], story.text)
  t.same(await textsOf('user'), ['My name is Ada', 'What is my name?', 'Tell me a story of 40 sentences'])

  await say('[[fail]] What now?')
  await statusIs('error')
  // The page hears of the failure from the stream, a moment before the run's end is stored.
  let failed = (await stored()).at(-1)
  while (failed.role !== 'assistant') failed = (await stored()).at(-1)
  t.equal(await error(), failed.error, 'a failure is a sentence')
  await page.reload()
  await statusIs('ready')
  t.equal((await textsOf('assistant'))[3], failed.error, 'and is there after a reload')

  await say('Tell me a story of 90 sentences')
  await saysMoreThan(20, 4)
  await page.locator('button').click()
  await statusIs('ready')
  await say('What is 2 + 3?')
  await saysMoreThan(0, 5)
  await statusIs('ready')
  t.equal((await textsOf('assistant'))[5], '2 + 3 = 5.', 'nothing stands in the way of the next question')
  const all = await stored()
  t.equal(all.length, 12, 'one conversation')
  t.match(all[9], { role: 'assistant', status: 'cancelled' })

  const late = await browser.newPage()
  const expired = person(late)
  await late.goto(address(await token(user, {}, '-1h')))
  await expired.statusIs('error')
  await expired.say('Hello?')
  await expired.statusIs('error')
  t.equal(await expired.error(), 'Your session has ended. Sign in again.')
  t.same(faults, [])
}

t.test(
  'pages with the stock useChat and nothing but an address work',
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
