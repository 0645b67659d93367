import type { Page } from 'playwright-core'
import t, { type Test } from 'tap'
import { until } from '../services/rows.ts'
import { ready } from '../streams/sse.ts'
import { openBrowser, openPage, WITHOUT_BROWSER } from '../support/browser.ts'
import { type Service, startEngine, startService } from '../support/service.ts'
import { addressOf, type Stage, servePages } from './pages.ts'

interface Stored {
  id: string
  role: string
  text: string
  status: string
}

/** What a person does with a page of assistant-ui, and what the page and the service hold then. */
function person(t: Test, page: Page, service: Service, user: string) {
  page.on('pageerror', (error) => t.fail(`the page has thrown ${error}`))
  const texts = (role: string) => page.locator(`.${role}`).allTextContents()
  const conversationId = () => new URL(page.url()).hash.match(/conversationId=([\da-f-]+)/)?.[1] ?? ''
  const stored = async (): Promise<Stored[]> =>
    (await service.call('GET', `/api/agent/conversations/${conversationId()}/messages`, { user })).body.data
  const ready = () => page.locator('#status', { hasText: 'ready' }).waitFor()
  const send = async (text: string) => {
    await page.locator('#composer textarea').fill(text)
    await page.locator('#composer textarea').press('Enter')
  }
  const again = (answer: number) => page.locator('.again').nth(answer).click()
  const edit = async (question: number, text: string) => {
    await page.locator('.edit').nth(question).click()
    await page.locator('.editor textarea').fill(text)
    await page.locator('.editor button').click()
  }
  return {
    conversationId,
    stored,
    ready,
    send,
    again,
    edit,
    errors: () => page.locator('.error').allTextContents(),
    /** Does something that is answered, and waits until the page and the service hold the answer. */
    async answered(what: () => Promise<void>) {
      const before = conversationId() === '' ? [] : (await stored()).map(({ id }) => id)
      await what()
      await until(async () => {
        if (conversationId() === '') return false
        const last = (await stored()).at(-1)
        return last?.role === 'assistant' && !before.includes(last.id)
      })
      await ready()
    },
    /** Does something that is answered in another conversation, and waits for the answer. */
    async beginsAnew(what: () => Promise<void>) {
      const before = conversationId()
      await what()
      await until(async () => conversationId() !== before)
      await ready()
    },
    /** Does something that the service refuses, because the page is stale: the service changes nothing. */
    async refused(what: () => Promise<void>) {
      const before = await stored()
      await what()
      await page.locator('.error', { hasText: 'conversation' }).waitFor()
      t.same(await stored(), before, 'a stale page changes nothing')
    },
    /** The page shows these questions and the answers of the service, which holds no others. */
    async agree(name: string, questions: string[]) {
      const messages = await stored()
      const of = (role: string) => messages.filter((message) => message.role === role).map(({ text }) => text)
      t.same(of('user'), questions, `${name}: the service holds these questions`)
      t.equal(of('assistant').length, questions.length, `${name}: each has one answer`)
      t.same(await texts('user'), questions, `${name}: the page shows these questions`)
      t.same(await texts('assistant'), of('assistant'), `${name}: the page shows the answers`)
    },
    async reload() {
      await page.reload()
      await ready()
    },
  }
}

async function begin(
  t: Test,
  stage: Stage,
  user: string,
  options: { edits?: string; conversationId?: string },
) {
  const page = await openPage(stage.browser)
  await page.goto(await addressOf(stage, 'assistant-ui', { user, ...options }))
  const someone = person(t, page, stage.service, user)
  await someone.ready()
  return someone
}

/** Two questions, another answer, a failure that is tried again, and reloads in between. */
async function play(t: Test, stage: Stage, user: string, options: { edits?: string }) {
  const ada = await begin(t, stage, user, options)
  await ada.answered(() => ada.send('My name is Ada'))
  await ada.agree('a first answer', ['My name is Ada'])
  await ada.answered(() => ada.again(0))
  await ada.agree('the first answer once more', ['My name is Ada'])
  await ada.answered(() => ada.send('What is my name?'))
  await ada.answered(() => ada.again(1))
  await ada.agree('another answer', ['My name is Ada', 'What is my name?'])
  await ada.reload()
  await ada.agree('a reload', ['My name is Ada', 'What is my name?'])
  await ada.answered(() => ada.again(1))
  await ada.agree('another answer after a reload', ['My name is Ada', 'What is my name?'])

  const questions = ['My name is Ada', 'What is my name?', '[[fail]] What is 2 + 2?']
  await ada.answered(() => ada.send('[[fail]] What is 2 + 2?'))
  t.equal((await ada.errors()).length, 1, 'the page shows the failure')
  await ada.agree('a failure', questions)
  await ada.answered(() => ada.again(2))
  t.equal((await ada.errors()).length, 1)
  await ada.agree('a failure, tried again', questions)
  const conversations = await stage.service.call('GET', '/api/agent/conversations', { user })
  t.equal(conversations.body.data.length, 1, 'all in one conversation')
  return ada
}

t.test('assistant-ui works as it is', { skip: WITHOUT_BROWSER }, async (t) => {
  const [origin, browser, engine] = await Promise.all([
    servePages(t, ['assistant-ui']),
    openBrowser(t),
    startEngine(t),
  ])
  const service = await startService(t, { engine, environment: { CORS_ORIGINS: origin } })
  await ready(service)
  const stage = { origin, browser, service }
  t.jobs = 2

  t.test('with nothing but an address', { buffered: true }, async (t) => {
    const user = 'alice'
    const ada = await play(t, stage, user, {})
    await ada.answered(() => ada.edit(2, 'What is 2 + 2?'))
    await ada.agree('a failure, edited', ['My name is Ada', 'What is my name?', 'What is 2 + 2?'])
    const conversationId = ada.conversationId()
    const other = await begin(t, stage, user, { conversationId })
    const another = await begin(t, stage, user, { conversationId })
    await ada.answered(() => ada.edit(1, 'What is 3 + 3?'))
    await ada.agree('an edit in the middle', ['My name is Ada', 'What is 3 + 3?'])
    await other.refused(() => other.edit(2, 'What is 4 + 4?'))
    await other.reload()
    await other.agree('a page that was stale, loaded again', ['My name is Ada', 'What is 3 + 3?'])

    await other.answered(() => other.send('What is 5 + 5?'))
    await ada.refused(() => ada.edit(1, 'What is 6 + 6?'))
    await ada.reload()
    await ada.answered(() => ada.send('What is 7 + 7?'))
    await other.refused(() => other.edit(0, 'My name is Bob'))
    await ada.answered(() => ada.edit(0, 'My name is Eve'))
    await ada.agree('an edit of the first question', ['My name is Eve'])
    await ada.answered(() => ada.again(0))
    await ada.agree('the edited question once more', ['My name is Eve'])
    await ada.answered(() => ada.send('What is my name?'))
    await ada.answered(() => ada.edit(0, '[[fail]] My name is Eva'))
    await ada.agree('an edit that fails', ['[[fail]] My name is Eva'])
    await ada.answered(() => ada.edit(0, 'My name is Eva'))
    await ada.reload()
    await ada.agree('in the end', ['My name is Eva'])
    t.equal(ada.conversationId(), conversationId, 'all in one conversation')

    await another.beginsAnew(() => another.edit(0, 'My name is Zoe'))
    await another.agree('an edit of the first question, as the first act of a loaded page', [
      'My name is Zoe',
    ])
  })

  t.test('with the newest message that it knows', { buffered: true }, async (t) => {
    const user = 'bob'
    const bob = await begin(t, stage, user, { edits: 'yes' })
    await bob.answered(() => bob.send('My name is Ada'))
    await bob.answered(() => bob.send('What is my name?'))
    await bob.reload()
    const stale = await begin(t, stage, user, { edits: 'yes', conversationId: bob.conversationId() })
    await bob.answered(() => bob.edit(1, 'What is 3 + 3?'))
    await bob.agree('an edit as the first act of a loaded page', ['My name is Ada', 'What is 3 + 3?'])
    await stale.refused(() => stale.edit(1, 'What is 4 + 4?'))
  })
})
