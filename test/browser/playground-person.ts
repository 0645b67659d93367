import type { Browser, Page } from 'playwright-core'
import type { Test } from 'tap'
import { openPage } from '../support/browser.ts'

export type Visitor = ReturnType<typeof visitor>

/** A tab with the playground, and what a person does with it. What the page does wrong fails the test. */
export async function openPlayground(t: Test, browser: Browser, url: string): Promise<Visitor> {
  const page = await openPage(browser, { viewport: { width: 1200, height: 860 } })
  const { origin } = new URL(url)
  page.on('pageerror', (error) => t.fail(`the page has thrown ${error}`))
  page.on('console', (message) => {
    // The browser itself logs refused and cut requests.
    const isOurs = !/^Failed to load resource/.test(message.text())
    if (message.type() === 'error' && isOurs) t.fail(`the page has logged ${message.text()}`)
  })
  page.on('request', (request) => {
    if (!request.url().startsWith(origin) && !request.url().startsWith('data:'))
      t.fail(`the page has asked ${request.url()}`)
  })
  await page.goto(url)
  return visitor(page)
}

function visitor(page: Page) {
  const answers = page.locator('.answer')
  const message = page.locator('#message')
  return {
    page,
    answers,
    questions: page.locator('.question > .text'),
    announcement: page.locator('[role=status]'),
    problem: page.locator('[role=alert]'),
    conversationId: () => new URL(page.url()).hash.slice(1),
    async ask(text: string) {
      await message.fill(text)
      await message.press('Enter')
    },
    /** Waits for the answer with that number, from 0 on, to have such a text. */
    says: (answer: number, text: string | RegExp) =>
      answers.nth(answer).locator('> .text', { hasText: text }).first().waitFor(),
    textOf: async (answer: number) =>
      (await answers.nth(answer).locator('> .text').allTextContents()).join(''),
    /** Waits for the run of the answer to have this status. */
    runIs: (answer: number, status: string) =>
      answers.nth(answer).locator('.facts summary', { hasText: status }).waitFor(),
    press: (name: string, within = page.locator('body')) =>
      within.getByRole('button', { name, exact: true }).click(),
  }
}
