import t, { type Test } from 'tap'
import { UI_VERSIONS, type UiVersion } from '../../src/streams/vocabulary.ts'
import { until } from '../services/rows.ts'
import { ready } from '../streams/sse.ts'
import { openBrowser, openPage, WITHOUT_BROWSER } from '../support/browser.ts'
import { startEngine, startService } from '../support/service.ts'
import { addressOf, person, type Stage, servePages } from './pages.ts'

interface Stored {
  role: string
  text: string
  status: string
  error?: string
}

/** Answers that are asked for again, failures that are tried again, edits, and reloads in between. */
async function play(t: Test, ui: UiVersion, stage: Stage): Promise<void> {
  const { browser, service } = stage
  const user = `alice-${ui}`
  const page = await openPage(browser)
  const faults: string[] = []
  page.on('pageerror', (error) => faults.push(String(error)))
  const { statusIs, textsOf, say, again, edit, conversationId } = person(page)

  const stored = async (): Promise<Stored[]> =>
    (await service.call('GET', `/api/agent/conversations/${conversationId()}/messages`, { user })).body.data
  const shownAs = ({ text, error: why = '' }: Stored) => text + why
  /** The stored messages, once the last question has its answer. */
  const settled = () =>
    until(async () => {
      const messages = await stored()
      return messages.at(-1)?.role === 'assistant' && messages
    })
  const conversations = async () =>
    (await service.call('GET', '/api/agent/conversations', { user })).body.data.length
  /** The page and the service hold the same, now and after a reload. */
  const agree = async (name: string, questions: string[]) => {
    const messages = await settled()
    const asked = messages.filter(({ role }) => role === 'user')
    const answers = messages.filter(({ role }) => role === 'assistant')
    t.same(asked.map(shownAs), questions, `${name}: the service holds these questions`)
    t.same(await textsOf('user'), questions, `${name}: and the page shows them`)
    t.equal(answers.length, questions.length, `${name}: each has one answer`)
    if (answers.at(-1)?.status === 'complete')
      t.same(await textsOf('assistant'), answers.map(shownAs), `${name}: the page shows the answers`)
  }
  const reload = async (name: string, questions: string[]) => {
    await page.reload()
    await statusIs('ready')
    await agree(name, questions)
    t.same(
      await textsOf('assistant'),
      (await stored()).filter(({ role }) => role === 'assistant').map(shownAs),
    )
  }
  const answered = async (what: () => Promise<void>) => {
    const before = conversationId() === '' ? [] : await stored()
    await what()
    await until(async () => {
      const id = conversationId()
      return id !== '' && JSON.stringify(await stored()) !== JSON.stringify(before)
    })
    await settled()
    await statusIs('ready')
  }

  await page.goto(await addressOf(stage, ui, { user }))
  await statusIs('ready')
  await answered(() => say('My name is Ada'))
  await agree('a first answer', ['My name is Ada'])
  await answered(again)
  await agree('the first answer once more', ['My name is Ada'])
  t.equal(await conversations(), 1, 'in the same conversation')
  await answered(() => edit(0, 'My name is Eve'))
  await agree('an edited first question', ['My name is Eve'])
  t.equal(await conversations(), 1, 'still in the same conversation')
  await reload('a reload', ['My name is Eve'])

  await answered(() => say('What is my name?'))
  await answered(again)
  await agree('another answer after a reload', ['My name is Eve', 'What is my name?'])
  t.match((await textsOf('assistant'))[1], /Eve/, 'the prompt holds what the page shows')

  await say('[[fail]] What is 2 + 2?')
  await statusIs('error')
  await again()
  await statusIs('error')
  await agree('a failure, tried again', ['My name is Eve', 'What is my name?', '[[fail]] What is 2 + 2?'])
  await reload('a failure, loaded', ['My name is Eve', 'What is my name?', '[[fail]] What is 2 + 2?'])
  await answered(() => edit(2, 'What is 2 + 2?'))
  await agree('a failure, edited', ['My name is Eve', 'What is my name?', 'What is 2 + 2?'])
  t.equal((await textsOf('assistant'))[2], '2 + 2 = 4.')

  const stale = await openPage(browser)
  const other = person(stale)
  await stale.goto(await addressOf(stage, ui, { user, conversationId: conversationId() }))
  await other.statusIs('ready')
  await answered(() => edit(1, 'What is 3 + 3?'))
  await agree('an edit in the middle', ['My name is Eve', 'What is 3 + 3?'])
  await answered(() => say('What is 4 + 4?'))
  const before = await stored()
  await other.again()
  await other.statusIs('error')
  t.match(await other.error(), /^Only the last answer|^This conversation has gone on/)
  t.same(await stored(), before, 'a page that lacks messages changes nothing')
  await reload('in the end', ['My name is Eve', 'What is 3 + 3?', 'What is 4 + 4?'])
  t.same(faults, [])
}

t.test('a stock useChat can regenerate, try again and edit', { skip: WITHOUT_BROWSER }, async (t) => {
  const [origin, browser, engine] = await Promise.all([servePages(t), openBrowser(t), startEngine(t)])
  const service = await startService(t, { engine, environment: { CORS_ORIGINS: origin } })
  await ready(service)
  t.jobs = UI_VERSIONS.length
  for (const ui of UI_VERSIONS)
    t.test(`AI SDK ${ui}`, { buffered: true }, (t) => play(t, ui, { origin, browser, service }))
})
