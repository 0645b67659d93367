import t, { type Test } from 'tap'
import { stampFile } from '../actions/asking.ts'
import { ready } from '../streams/sse.ts'
import { openBrowser, openPage, WITHOUT_BROWSER } from '../support/browser.ts'
import { startEngine, startService } from '../support/service.ts'
import { addressOf, type PageName, person, type Stage, servePages } from './pages.ts'

/** Agrees, denies, answers a call of the page's own tool, and reloads in between. */
async function play(t: Test, name: PageName, stage: Stage): Promise<void> {
  const { browser, service } = stage
  const user = `alice-${name}`
  const { file, lines } = stampFile(t)
  const page = await openPage(browser)
  const faults: string[] = []
  page.on('pageerror', (error) => faults.push(String(error)))
  const { statusIs, textsOf, say, saysMoreThan, conversationId } = person(page)
  const press = (button: string, at = 0) => page.locator(button).nth(at).click()

  await page.goto(await addressOf(stage, name, { user }))
  await statusIs('ready')
  await say(`[[stamp]] file ${file}`)
  await press('.approve')
  await saysMoreThan(0, 0)
  await statusIs('ready')
  t.equal((await lines()).length, 1, 'what was approved was executed')

  await say(`[[stamp]] file ${file}`)
  await press('.deny')
  await saysMoreThan(0, 1)
  await statusIs('ready')
  t.match((await textsOf('assistant'))[1], /denied/)

  await say('Let me choose: tea or coffee')
  await press('.choose', 1)
  await saysMoreThan(0, 2)
  await statusIs('ready')
  t.match((await textsOf('assistant'))[2], /coffee/)

  await say(`[[stamp:2]] file ${file}`)
  await page.locator('.approve').nth(1).waitFor()
  await page.reload()
  await statusIs('ready')
  await press('.approve')
  await press('.approve')
  await saysMoreThan(0, 3)
  await statusIs('ready')
  t.equal((await lines()).length, 3)
  await page.reload()
  await statusIs('ready')
  t.equal(await page.locator('.approve').count(), 0, 'nothing waits after a reload')
  const { body } = await service.call('GET', `/api/agent/conversations/${conversationId()}/messages`, {
    user,
  })
  t.equal(body.data.length, 8)
  t.same(
    await textsOf('assistant'),
    body.data
      .filter(({ role }: { role: string }) => role === 'assistant')
      .map(({ text }: { text: string }) => text),
  )
  t.same(faults, [])
}

t.test('a page with the stock useChat answers calls that wait', { skip: WITHOUT_BROWSER }, async (t) => {
  const names = ['actions-6', 'actions-7'] as const
  const [origin, browser, engine] = await Promise.all([servePages(t, names), openBrowser(t), startEngine(t)])
  const service = await startService(t, { engine, environment: { CORS_ORIGINS: origin } })
  await ready(service)
  t.jobs = 2
  for (const name of names)
    t.test(name, { buffered: true }, (t) => play(t, name, { origin, browser, service }))
})
