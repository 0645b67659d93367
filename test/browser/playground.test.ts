import t, { type Test } from 'tap'
import { until } from '../services/rows.ts'
import { ready } from '../streams/sse.ts'
import { openBrowser, WITHOUT_BROWSER } from '../support/browser.ts'
import { SECRET, type Service, startEngine, startService } from '../support/service.ts'
import { barriers } from './axe.ts'
import { openPlayground, type Visitor } from './playground-person.ts'

/** The user of the token that the service gives to a browser on this machine. */
const user = 'docs'

const storedBy = (service: Service) => async (visitor: Visitor) =>
  (await service.call('GET', `/api/agent/conversations/${visitor.conversationId()}/messages`, { user })).body
    .data as Array<{ role: string; text: string; runId: string }>

/** `npm run pictures` makes the pictures of the documents. */
async function picture({ page }: Visitor, name: string, ...schemes: ('light' | 'dark')[]): Promise<void> {
  if (process.env.PICTURES === undefined) return
  for (const colorScheme of schemes) {
    await page.emulateMedia({ colorScheme })
    await page.screenshot({ path: `docs/pictures/${name}-${colorScheme}.png` })
  }
}

async function noBarriers(t: Test, { page }: Visitor, name: string): Promise<void> {
  for (const colorScheme of ['light', 'dark'] as const) {
    await page.emulateMedia({ colorScheme })
    t.same(await barriers(page), [], `${name}, ${colorScheme}: axe-core finds nothing`)
  }
}

/** A first question: the answer with its tool, the facts of the run, its frames, and the lines for a shell. */
async function askAndLook(t: Test, ada: Visitor): Promise<void> {
  const { page, answers, press } = ada
  await noBarriers(t, ada, 'without a conversation')
  await ada.ask('Please think: what is 17 * 23?')
  await ada.says(0, /^17 \* 23 = 391\.$/)
  await ada.runIs(0, 'completed')
  t.match(await ada.announcement.textContent(), 'The agent has answered: 17 * 23 = 391.')
  t.equal(await answers.locator('.reasoning .text').isVisible(), false, 'reasoning is folded')
  for (const summary of await answers.locator('summary').all()) await summary.click()
  t.equal(await answers.locator('.reasoning .text').isVisible(), true)
  await picture(ada, 'playground', 'light', 'dark')
  t.match(await answers.locator('.tool').textContent(), /calculate: answered.*17 \* 23.*391/s)
  const facts = (await answers.locator('dl').textContent()) ?? ''
  t.match(facts, /Status\s*completed.*Finish reason\s*stop.*Model\s*offline.*Tokens\s*\d+ in, \d+ out/s)
  t.match(facts, /Duration\s*\d+ ms.*Run\s*run_\w+.*Conversation\s*[\da-f-]{36}/s)
  await press('Raw frames', answers)
  await answers.getByText('[DONE]').waitFor()
  await page.locator('.composer summary').click()
  const line = await page.locator('.composer pre').textContent()
  t.match(line, `"conversationId":"${ada.conversationId()}"`)
  await noBarriers(t, ada, 'with everything unfolded')
}

/** A reload and a second tab while the agent speaks; Escape stops it in both. */
async function stopAfterReload(t: Test, ada: Visitor, tab: Visitor): Promise<void> {
  await ada.ask('[[stall-after:12]] Tell me a story')
  await ada.says(1, /\w+ \w+/)
  await ada.runIs(1, 'running')
  await tab.says(1, /\w+ \w+/)
  const inTheMiddle = await tab.textOf(1)
  await ada.page.reload()
  await ada.says(1, inTheMiddle)
  t.match(await ada.answers.nth(1).textContent(), 'Working')
  await noBarriers(t, ada, 'in the middle of an answer')

  await ada.ask('What is 2 + 2?')
  await ada.answers.nth(2).getByText('Queued: 1 ahead').waitFor()
  await ada.page.keyboard.press('Escape')
  for (const visitor of [ada, tab]) {
    await visitor.runIs(1, 'cancelled')
    t.match(await visitor.answers.nth(1).textContent(), 'Cancelled.')
    await visitor.says(2, '2 + 2 = 4.')
    await visitor.runIs(2, 'completed')
  }
}

/** A long answer whose page is reloaded, and whose connections are cut, loses no word and shows none twice. */
async function goOnAfterCut(t: Test, service: Service, ada: Visitor, tab: Visitor): Promise<void> {
  await ada.ask('Tell me a story of 60 sentences')
  await ada.says(3, /\w+ \w+/)
  await ada.page.reload()
  await ada.says(3, /\w+ \w+/)
  service.app.server.closeAllConnections()
  const story = (await until(async () => (await storedBy(service)(ada))[7]?.text)) as string
  for (const visitor of [ada, tab]) {
    await visitor.runIs(3, 'completed')
    t.equal(await visitor.textOf(3), story)
  }
}

/** Another answer, an edited question, a failure, and HTML that stays text; the other tab sees all of it. */
async function changeThings(t: Test, service: Service, ada: Visitor, tab: Visitor): Promise<void> {
  const { page, answers, press } = ada
  const newest = async () => (await storedBy(service)(ada)).at(-1)
  const markup = '<img src="x" onerror="alert(1)">'
  await page.locator('.question').nth(2).getByRole('button', { name: 'Edit' }).click()
  await page.locator('.question textarea').fill(`What is 3 + 3? ${markup}`)
  await press('Replace')
  await ada.says(2, '3 + 3 = 6.')
  await ada.runIs(2, 'completed')
  t.equal(await answers.count(), 3, 'what came after the edited question is gone')
  t.equal(await ada.questions.nth(2).textContent(), `What is 3 + 3? ${markup}`)
  t.equal(await page.locator('.thread img').count(), 0)

  const first = (await newest())?.runId ?? ''
  await press('Answer again')
  await until(async () => {
    const message = await newest()
    return message?.role === 'assistant' && message.runId !== first
  })
  await ada.runIs(2, 'completed')
  await answers.nth(2).locator('.facts summary').click()
  await answers.nth(2).locator('dd', { hasText: first }).waitFor()
  t.match(await answers.nth(2).locator('dl').textContent(), /Retry of/)
  await tab.page.locator('.answer').nth(3).waitFor({ state: 'detached' })
  t.match(await tab.textOf(2), '3 + 3 = 6.')

  await ada.ask('[[fail]] Hello')
  await ada.runIs(3, 'failed')
  t.match(await answers.nth(3).locator('.problem').textContent(), /\w+\./)
  await noBarriers(t, ada, 'after a failure')
}

/** Conversations are listed, renamed, forked and deleted, and the other tab follows. */
async function tidyUp(t: Test, ada: Visitor, tab: Visitor): Promise<void> {
  const { page, press } = ada
  const titles = (visitor: Visitor) => visitor.page.locator('nav li').allTextContents()
  const first = ada.conversationId()
  await page.getByLabel('Title of the conversation').fill('Sums')
  await page.getByLabel('Title of the conversation').press('Enter')
  for (const visitor of [ada, tab]) await visitor.page.locator('nav li', { hasText: 'Sums' }).waitFor()
  await press('Fork from here', ada.answers.nth(0))
  await until(async () => ada.conversationId() !== first)
  await until(async () => (await ada.questions.count()) === 1 && (await titles(ada)).length === 3)
  await press('New conversation')
  t.equal(await page.evaluate('document.activeElement.id'), 'message')
  await ada.ask('Hello')
  await ada.says(0, 'Hello!')
  await until(async () => (await titles(tab)).length === 4)
  await press('Delete')
  await press('Really delete')
  await until(async () => (await titles(tab)).length === 3)
  t.equal(ada.conversationId(), '')
  t.equal(tab.conversationId(), first, 'the other tab stays where it is')
}

/** The agent asks before it uses a tool; a person agrees, refuses, and answers for a tool of her own. */
async function decide(t: Test, ada: Visitor, tab: Visitor): Promise<void> {
  const { page, answers, press } = ada
  const action = page.locator('.action')
  await press('New conversation')
  await ada.ask('Send Ada a note: lunch at one')
  await action.getByText('Send this note to Ada?').waitFor()
  t.match(await action.locator('pre').textContent(), /"text": "lunch at one"/)
  t.match(await ada.announcement.textContent(), 'waits for your decision')
  await noBarriers(t, ada, 'while the agent asks')
  await picture(ada, 'approval', 'light')
  await tab.page.locator('nav li', { hasText: 'Send Ada a note' }).getByRole('button').click()
  await tab.page.locator('.action').waitFor()
  await press('Approve')
  for (const visitor of [ada, tab]) {
    await visitor.page.locator('.action').waitFor({ state: 'detached' })
    await visitor.answers.last().getByText('The tool "send_note" returned').waitFor()
  }

  await ada.ask('Send Eve a note: see you')
  await action.getByLabel('Reason').fill('It is too late.')
  await press('Deny')
  await answers.last().getByText('was not executed: It is too late.').waitFor()

  await ada.ask('Let me choose: tea, coffee or milk')
  await action.getByLabel('Result').fill('tea')
  await press('Send the result')
  await answers.last().getByText('The tool "choose_option" returned "tea".').waitFor()
  await action.waitFor({ state: 'detached' })
}

t.test('a person talks with the agent in the playground', { skip: WITHOUT_BROWSER }, async (t) => {
  const [browser, engine] = await Promise.all([openBrowser(t), startEngine(t)])
  const config = { embeddedSecret: SECRET, playground: true }
  const service = await startService(t, { engine, config })
  await ready(service)
  const ada = await openPlayground(t, browser, `${service.url}/playground`)
  await t.test('asks, and looks at what has happened', (t) => askAndLook(t, ada))
  const tab = await openPlayground(t, browser, ada.page.url())
  await t.test('stops an answer after a reload', (t) => stopAfterReload(t, ada, tab))
  await t.test('loses nothing when connections are cut', (t) => goOnAfterCut(t, service, ada, tab))
  await t.test('edits, asks again, and meets a failure', (t) => changeThings(t, service, ada, tab))
  await t.test('decides what the agent may do', (t) => decide(t, ada, tab))
  await t.test('tidies up', (t) => tidyUp(t, ada, tab))
})
