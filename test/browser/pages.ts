import { createServer } from 'node:http'
import { findPackageJSON } from 'node:module'
import type { AddressInfo } from 'node:net'
import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import type { Browser, Page } from 'playwright-core'
import type { Test } from 'tap'
import { UI_VERSIONS, type UiVersion } from '../../src/streams/vocabulary.ts'
import { snippetsOf } from '../ship/guide.ts'
import { REACT } from '../streams/clients.ts'
import { type Service, token } from '../support/service.ts'

/** The page of `useChat` of a version of the AI SDK, that of assistant-ui, or one with tool calls that wait. */
export type PageName = UiVersion | 'assistant-ui' | 'actions-6' | 'actions-7'

/** The AI SDK that the page is made with. */
const uiOf = (name: PageName): UiVersion => {
  if (typeof name === 'number') return name
  return name === 'actions-6' ? 6 : 7
}

const SCRIPTS = { 'assistant-ui': 'assistant-ui.mjs', 'actions-6': 'actions.mjs', 'actions-7': 'actions.mjs' }

/** The whole page that docs/pages.md shows. */
export function pageOfTheGuide(): string {
  const page = snippetsOf('docs/pages.md', ['jsx']).find(({ name }) => name === 'chat.jsx')
  if (page === undefined) throw new Error('docs/pages.md has no chat.jsx')
  return page.code
}

/** The page's script, made with the packages of that version. */
async function bundle(name: PageName): Promise<string | undefined> {
  const ui = uiOf(name)
  const ai = findPackageJSON('ai', import.meta.resolve(REACT[ui])) ?? ''
  const { outputFiles } = await build({
    ...(typeof name === 'number'
      ? { stdin: { contents: pageOfTheGuide(), loader: 'jsx', resolveDir: import.meta.dirname } }
      : { entryPoints: [fileURLToPath(new URL(SCRIPTS[name], import.meta.url))] }),
    jsx: 'automatic',
    bundle: true,
    format: 'esm',
    write: false,
    define: { 'process.env.NODE_ENV': '"production"' },
    alias: { '@ai-sdk/react': REACT[ui], ai: dirname(ai) },
  })
  return outputFiles[0]?.text
}

/** Serves the pages, such as `/7`, from an origin of their own. */
export async function servePages(t: Test, names: readonly PageName[] = UI_VERSIONS): Promise<string> {
  const scripts = new Map<string | undefined, string | undefined>()
  for (const name of names) scripts.set(`/${name}.js`, await bundle(name))
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

export interface Stage {
  origin: string
  browser: Browser
  service: Service
}

/** What a person does with the page, and sees. */
export function person(page: Page) {
  const textsOf = (role: string) => page.locator(`.${role}`).allTextContents()
  /** What a person would have in view when she gives up, in the error of the wait. */
  const orSay = (wait: Promise<unknown>, what: string) =>
    wait.catch(async (error) => {
      const shown = await page.locator('#root').textContent()
      throw new Error(`The page does not show ${what}. It shows:\n${shown}`, { cause: error })
    })
  return {
    textsOf,
    statusIs: (status: string) =>
      orSay(page.locator('#status', { hasText: status }).waitFor(), `the status ${status}`),
    error: () => page.locator('#error').textContent(),
    async say(text: string) {
      await page.locator('input').fill(text)
      await page.locator('input').press('Enter')
    },
    /** Waits for the answer with that number, from 0 on, to be longer than so many characters. */
    saysMoreThan: (length: number, answer: number) =>
      orSay(
        page.waitForFunction(
          `(document.querySelectorAll('.assistant')[${answer}]?.textContent.length ?? 0) > ${length}`,
        ),
        `more than ${length} characters of answer ${answer}`,
      ),
    again: () => page.locator('#again').click(),
    /** Puts a text in the place of the question with that number, from 0 on. */
    async edit(question: number, text: string) {
      await page.locator('input').fill(text)
      await page.locator('.edit').nth(question).click()
    },
    conversationId: () => new URL(page.url()).hash.match(/conversationId=([\da-f-]+)/)?.[1] ?? '',
  }
}

/** The address of a page for a user. */
export const addressOf = async (
  { origin, service }: Stage,
  name: PageName,
  {
    user,
    lifetime = '1h',
    ...more
  }: { user: string; lifetime?: string; conversationId?: string; edits?: string },
): Promise<string> =>
  `${origin}/${name}#${new URLSearchParams({
    service: service.url,
    token: await token(user, {}, lifetime),
    ui: String(uiOf(name)),
    ...more,
  })}`
