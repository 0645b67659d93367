import { existsSync } from 'node:fs'
import { type Browser, type BrowserContextOptions, chromium, type Page } from 'playwright-core'
import type { Test } from 'tap'

const CHROMIUM = [
  process.env.CHROMIUM_PATH,
  '/usr/bin/chromium',
  '/usr/bin/chromium-browser',
  '/usr/bin/google-chrome',
  '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
].find((path) => path !== undefined && existsSync(path))

/** The reason why a test in a browser cannot run here; false where it can run. */
export const WITHOUT_BROWSER =
  CHROMIUM === undefined && 'no Chromium was found: set CHROMIUM_PATH to run this test'

/** How long a page waits for an element, in milliseconds. A busy machine needs much longer than a quiet one. */
export const PATIENCE_MS = 120_000

/** A browser without a window, closed when the test ends. */
export async function openBrowser(t: Test): Promise<Browser> {
  const browser = await chromium.launch({ executablePath: CHROMIUM ?? '', args: ['--no-sandbox'] })
  t.teardown(() => browser.close())
  return browser
}

/** A page that waits for elements as long as a busy machine needs. */
export async function openPage(browser: Browser, options: BrowserContextOptions = {}): Promise<Page> {
  const page = await browser.newPage(options)
  page.setDefaultTimeout(PATIENCE_MS)
  return page
}
