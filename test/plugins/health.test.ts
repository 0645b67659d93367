import { setTimeout as sleep } from 'node:timers/promises'
import { fastify } from 'fastify'
import { test } from 'tap'
import health from '../../plugins/health.ts'
import errors from '../../plugins/http/errors.ts'
import healthRoutes from '../../routes/health.ts'
import { createHealth } from '../../src/health.ts'
import { testApp } from '../support/app.ts'

/** Health alone, with components that the test turns on and off. */
async function healthApp(now?: () => number) {
  const app = fastify()
  await app.register(errors)
  await app.register(health, now === undefined ? {} : { now })
  app.register(healthRoutes)
  const up: Record<string, boolean> = {}
  const asked: Record<string, number> = {}
  return {
    app,
    up,
    asked,
    component(name: string, isUp: boolean) {
      up[name] = isUp
      app.health.add(name, async () => {
        asked[name] = (asked[name] ?? 0) + 1
        if (!up[name]) throw new Error('away')
      })
    },
    async ready() {
      const { statusCode, body } = await app.inject('/readyz')
      return { statusCode, ...JSON.parse(body) }
    },
  }
}

test('the process answers while other components are away', async (t) => {
  const answer = await testApp(t).inject('/livez')
  t.equal(answer.statusCode, 200)
  t.same(answer.json(), { status: 'ok' })
})

test('without database and engine the service is starting', async (t) => {
  const answer = await testApp(t).inject('/readyz')
  t.equal(answer.statusCode, 503)
  t.match(answer.json(), { status: 'starting', components: { database: 'down', engine: 'down' } })
})

test('ready once everything has been there, degraded after that', async (t) => {
  let now = 0
  const { app, component, ready, up } = await healthApp(() => now)
  t.teardown(() => app.close())
  component('database', false)
  component('engine', true)
  t.same(await ready(), {
    statusCode: 503,
    status: 'starting',
    components: { database: 'down', engine: 'ok' },
  })

  now += 1000
  Object.assign(up, { database: true, engine: false })
  t.same(
    await ready(),
    { statusCode: 200, status: 'degraded', components: { database: 'ok', engine: 'down' } },
    'each has been there, though never together',
  )
  now += 1000
  up.engine = true
  t.same(await ready(), { statusCode: 200, status: 'ok', components: { database: 'ok', engine: 'ok' } })
  now += 1000
  up.database = false
  t.match(await ready(), { statusCode: 200, status: 'degraded' })
})

test('probes share one look per second', async (t) => {
  let now = 0
  const { app, asked, component, ready, up } = await healthApp(() => now)
  t.teardown(() => app.close())
  component('database', true)
  await Promise.all([ready(), ready(), ready()])
  up.database = false
  now += 999
  t.match(await ready(), { status: 'ok' })
  t.equal(asked.database, 1)
  now += 1
  t.match(await ready(), { status: 'degraded' })
  t.equal(asked.database, 2)
})

test('a check that hangs, throws at once or is late counts as down', async (t) => {
  const checks = createHealth()
  checks.add('hangs', () => new Promise(() => {}), { timeoutMs: 20 })
  checks.add('throws', () => {
    throw new Error('at once')
  })
  checks.add('late', () => sleep(60), { timeoutMs: 10 })
  checks.add('fine', () => undefined)
  t.same((await checks.readiness()).components, { hangs: 'down', throws: 'down', late: 'down', fine: 'ok' })
})

test('details are shown beside the components', async (t) => {
  const { app, component, ready } = await healthApp()
  t.teardown(() => app.close())
  component('database', true)
  let backlog = 3
  app.health.detail('backlog', () => ({ due: backlog }))
  t.match(await ready(), { details: { backlog: { due: 3 } } })
  backlog = 4
  t.match(await ready(), { details: { backlog: { due: 4 } } })
})

test('while draining, requests are served and readiness says no', async (t) => {
  const { app, component, ready } = await healthApp()
  t.teardown(() => app.close())
  component('database', true)
  t.match(await ready(), { statusCode: 200 })
  app.health.drain()
  t.match(await ready(), { statusCode: 503, status: 'draining' })
  t.ok(app.health.draining)
  t.equal((await app.inject('/livez')).statusCode, 200)
})
