import { test } from 'tap'
import { testApp } from '../support/app.ts'

test('the root address leads on: a page for browsers, JSON for programs, without a token', async (t) => {
  const app = testApp(t)
  const browser = 'text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8'
  const page = await app.inject({ url: '/', headers: { accept: browser } })
  t.match(page, { statusCode: 200, headers: { 'content-type': 'text/html; charset=utf-8', vary: 'Accept' } })
  const hrefs = [...page.body.matchAll(/href="([^"]+)"/g)].map(([, href = '']) => href)
  t.ok(hrefs.includes('/docs'))

  for (const accept of ['*/*', 'application/json', undefined]) {
    const answer = await app.inject({ url: '/', headers: accept === undefined ? {} : { accept } })
    t.match(answer, { statusCode: 200, headers: { 'content-type': /^application\/json/, vary: 'Accept' } })
    t.match(answer.json(), { service: 'agent-chat-service', version: /^\d/, links: { docs: '/docs' } })
  }
  const { links } = (await app.inject('/')).json() as { links: Record<string, string> }
  for (const path of [...Object.values(links), ...hrefs]) {
    t.not((await app.inject(path)).statusCode, 404, path)
  }
})

test('only reading leads there', async (t) => {
  const app = testApp(t)
  t.equal((await app.inject({ method: 'POST', url: '/' })).statusCode, 405)
})
