import type { Locator, Page } from 'playwright-core'
import t, { type Test } from 'tap'
import { openBrowser, openPage, WITHOUT_BROWSER } from '../support/browser.ts'
import { startReceiver, webhookSettings } from '../support/receiver.ts'
import { SECRET, startService } from '../support/service.ts'

/** Pixels that an opened operation may be high, in a window of 1280 pixels. */
const MAX_HEIGHT = 2_900
/** Addresses of operations, the root included; all others belong to the page itself. */
const OPERATION = /\/(api|problems|livez|readyz)|^https?:\/\/[^/]+\/$/

/** What earlier answers told, by the words with which the page asks for it. */
class Known {
  #runId = ''
  #conversationId = ''
  #deliveryId = ''
  #action = { runId: '', actionId: '' }

  remember({ runId, conversationId, id, event, data }: Record<string, unknown>): void {
    const [first] = Array.isArray(data) ? data : []
    if (first?.actionId !== undefined) this.#action = first
    if (first?.event !== undefined) this.#deliveryId = first.id
    if (event !== undefined) return
    if (typeof runId === 'string') this.#runId = runId
    for (const known of [conversationId, id]) if (typeof known === 'string') this.#conversationId = known
  }

  /** The value of a field that has to be filled in; none when its description does not say which. */
  valueFor(description: string): string | undefined {
    if (/`?runId`? that a start answered with/.test(description)) return this.#runId
    if (/`?id`? of a conversation that was created/.test(description)) return this.#conversationId
    if (/`?id`? of a delivery/.test(description)) return this.#deliveryId
    if (/`?actionId`? of one/.test(description)) return this.#action.actionId
    if (/run that waits/.test(description)) return this.#action.runId
    return undefined
  }
}

/** Fills in what the page asks for and does not prefill. */
async function fillIn(t: Test, operation: Locator, known: Known): Promise<void> {
  for (const row of await operation.locator('tr[data-param-name]').all()) {
    const field = row.locator('input')
    const isEmpty = (await row.locator('.required').count()) > 0 && (await field.inputValue()) === ''
    if (!isEmpty) continue
    const description = (await row.locator('.parameters-col_description').textContent()) ?? ''
    const value = known.valueFor(description)
    t.ok(value, `the page says what to fill in: ${description}`)
    await field.fill(value ?? '')
  }
}

/** "Try it out", "Execute", as a developer of a client does it who has read nothing. */
async function execute(t: Test, page: Page, operation: Locator, known: Known): Promise<void> {
  await operation.locator('.try-out__btn').click()
  await fillIn(t, operation, known)
  const answer = page.waitForResponse((response) => OPERATION.test(response.url()))
  await operation.locator('.execute').click()
  const status = operation.locator('.live-responses-table tbody td.response-col_status')
  await status.waitFor()
  const { url, body } = { url: (await answer).url(), body: await (await answer).text() }
  t.match((await status.textContent()) ?? '', /^20[0-4]/, `${url}: ${body.slice(0, 300)}`)
  t.notMatch(url, /additionalProp|string/, 'no invented filters')
  if (/json/.test((await answer).headers()['content-type'] ?? '')) known.remember(JSON.parse(body))
}

/** A refusal is one line until it is clicked, and has an example of its own. */
async function openRefusals(t: Test, operation: Locator): Promise<void> {
  await operation.locator('.opblock-summary-control').click()
  for (const status of [400, 401, 403, 404, 409, 413, 415, 422, 429, 500, 503]) {
    const row = operation.locator(`tr.response[data-code="${status}"]`).last()
    await row.waitFor()
    t.equal(await row.locator('.example').count(), 0, `${status} is closed`)
    await row.locator('button', { hasText: String(status) }).click()
    const example = JSON.parse((await row.locator('.example').textContent()) ?? '')
    t.equal(example.status, status)
    t.equal(example.type, `/problems/${example.code}`)
  }
}

t.test(
  'every operation in Swagger UI works with what is prefilled, in the order of the page, and is not too long',
  { skip: WITHOUT_BROWSER },
  async (t) => {
    const receiver = await startReceiver(t)
    const environment = webhookSettings([{ name: 'billing', url: `${receiver.origin}/billing` }])
    const [browser, service] = await Promise.all([
      openBrowser(t),
      startService(t, { environment, config: { embeddedSecret: SECRET } }),
    ])
    // What the description of the list of actions says.
    const body = { message: 'Send Ada a note: lunch at one' }
    const asks = await service.call('POST', '/api/agent/chat', { user: 'docs', body })
    t.match((await service.ended(asks.body.runId, 'docs')).body, { finishReason: 'action_required' })
    const page = await openPage(browser, { viewport: { width: 1280, height: 900 } })
    const faults: string[] = []
    page.on('pageerror', (error) => faults.push(String(error)))
    await page.goto(`${service.url}/docs`, { waitUntil: 'domcontentloaded' })
    await page.locator('.opblock').first().waitFor()
    await page.locator('.authorization__btn.locked, .authorize.locked').first().waitFor()

    const known = new Known()
    const operations = await page.locator('.opblock').all()
    t.equal(operations.length, Object.values(service.app.swagger().paths ?? {}).flatMap(Object.keys).length)
    for (const operation of operations) {
      await operation.locator('.opblock-summary-control').click()
      await operation.locator('.responses-wrapper tr.response').first().waitFor()
      const name = (await operation.getAttribute('id')) ?? ''
      const { height } = (await operation.boundingBox()) ?? { height: Number.POSITIVE_INFINITY }
      t.comment(`${name}: ${Math.round(height)} px`)
      t.ok(height <= MAX_HEIGHT, `${name} has ${height} px`)
      await execute(t, page, operation, known)
      await operation.locator('.opblock-summary-control').click()
    }
    await openRefusals(t, page.locator('#operations-chat-startAgentChat'))
    t.same(faults, [])
  },
)
