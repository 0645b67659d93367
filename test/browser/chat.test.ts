import t, { type Test } from 'tap'
import { UI_VERSIONS, type UiVersion } from '../../src/streams/vocabulary.ts'
import { ready } from '../streams/sse.ts'
import { openBrowser, openPage, WITHOUT_BROWSER } from '../support/browser.ts'
import { startEngine, startService } from '../support/service.ts'
import { addressOf, person, type Stage, servePages } from './pages.ts'

/** Three questions, a reload in the middle of the third answer, a failure, a stop, and a token that has expired. */
async function play(t: Test, ui: UiVersion, stage: Stage): Promise<void> {
  const { browser, service } = stage
  const user = `alice-${ui}`
  const page = await openPage(browser)
  const faults: string[] = []
  page.on('pageerror', (error) => faults.push(String(error)))
  const { statusIs, textsOf, say, saysMoreThan, error, conversationId } = person(page)
  const stored = async () =>
    (await service.call('GET', `/api/agent/conversations/${conversationId()}/messages`, { user })).body.data

  await page.goto(await addressOf(stage, ui, { user }))
  await statusIs('ready')
  await say('My name is Ada')
  await saysMoreThan(0, 0)
  await statusIs('ready')
  await say('What is my name?')
  await saysMoreThan(0, 1)
  await statusIs('ready')
  t.match((await textsOf('assistant'))[1], /Ada/, 'the conversation goes on')

  const begun = performance.now()
  await page.reload()
  await statusIs('ready')
  // The story has to last longer than a reload, which takes its time on a busy machine. A sentence takes half a second.
  const sentences = Math.max(40, Math.ceil((performance.now() - begun) / 100))
  const question = `Tell me a story of ${sentences} sentences`
  await say(question)
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
  t.same(await textsOf('user'), ['My name is Ada', 'What is my name?', question])

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
  await page.locator('#stop').click()
  await statusIs('ready')
  await say('What is 2 + 3?')
  await saysMoreThan(0, 5)
  await statusIs('ready')
  t.equal((await textsOf('assistant'))[5], '2 + 3 = 5.', 'nothing stands in the way of the next question')
  const all = await stored()
  t.equal(all.length, 12, 'one conversation')
  t.match(all[9], { role: 'assistant', status: 'cancelled' })

  const late = await openPage(browser)
  const expired = person(late)
  await late.goto(await addressOf(stage, ui, { user, lifetime: '-1h' }))
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
