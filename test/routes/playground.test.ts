import { test } from 'tap'
import { loadConfig } from '../../src/config/config.ts'
import { startLines } from '../../src/lifecycle/start-lines.ts'
import { testApp } from '../support/app.ts'

const PRODUCTION = {
  NODE_ENV: 'production',
  DATABASE_URL: 'postgres://127.0.0.1:1/none',
  TRIGGER_SECRET_KEY: 'tr_prod_test',
  AUTH_JWT_SECRET: '-'.repeat(32),
}

test('the playground is there in development, and in production where it is asked for', (t) => {
  t.equal(loadConfig({}).playground, true)
  t.equal(loadConfig({ PLAYGROUND: 'false' }).playground, false)
  t.equal(loadConfig(PRODUCTION).playground, false)
  t.equal(loadConfig({ ...PRODUCTION, PLAYGROUND: 'true' }).playground, true)
  t.throws(() => loadConfig({ PLAYGROUND: 'perhaps' }), /PLAYGROUND/)
  t.end()
})

test('where it is off nothing leads to it', async (t) => {
  const app = testApp(t, { config: { playground: false } })
  for (const url of ['/playground', '/playground/', '/playground/main.mjs'])
    t.match(await app.inject(url), { statusCode: 404, headers: { 'content-type': /problem\+json/ } })
  t.notMatch((await app.inject({ url: '/', headers: { accept: 'text/html' } })).body, 'playground')
  t.notMatch((await app.inject('/')).body, 'playground')
  t.notMatch((await app.inject('/docs/json')).body, 'externalDocs')
  t.notMatch(startLines('http://127.0.0.1:3000', loadConfig({ PLAYGROUND: 'false' }), []), 'playground')
})

test('the page, the root address and Swagger UI lead to it, also behind a proxy with a path', async (t) => {
  const app = testApp(t, { config: { publicUrl: 'https://example.com/svc' } })
  t.match((await app.inject('/')).json(), { links: { playground: '/svc/playground' } })
  t.match((await app.inject('/docs/json')).json(), { externalDocs: { url: '/svc/playground' } })
  t.match(await app.inject('/playground/'), { statusCode: 302, headers: { location: '/svc/playground' } })
  const page = await app.inject('/playground')
  t.match(page, { statusCode: 200, headers: { 'content-type': 'text/html; charset=utf-8' } })
  const policy = String(page.headers['content-security-policy'])
  for (const rule of ["default-src 'none'", "connect-src 'self'", "frame-ancestors 'none'"])
    t.match(policy, rule)
  t.notMatch(policy, /unsafe|https?:|\*/)
  const addresses = [...page.body.matchAll(/(?:src|href)="(\.[^"]+)"/g)].map(([, address = '']) => address)
  const imports = JSON.parse(/importmap">(.*?)</.exec(page.body)?.[1] ?? '').imports as Record<string, string>
  for (const address of [...addresses, ...Object.values(imports)]) {
    const file = await app.inject(new URL(address, 'http://service/playground').pathname)
    t.match(file, { statusCode: 200, headers: { 'content-type': /^text\/(css|javascript); charset=utf-8$/ } })
  }
  t.equal((await app.inject('/playground/page.html')).statusCode, 404, 'the page has one address')
})

test('no path leads out of the folder of the page', async (t) => {
  const app = testApp(t)
  for (const path of [
    '../assets.ts',
    '..%2fassets.ts',
    '%2e%2e/assets.ts',
    'modules/../../assets.ts',
    '/etc/passwd',
    'toString',
  ])
    t.equal((await app.inject(`/playground/${path}`)).statusCode, 404, path)
})
