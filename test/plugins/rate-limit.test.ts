import { randomUUID } from 'node:crypto'
import { connect, createServer, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import fc from 'fast-check'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { Redis } from 'ioredis'
import { type Test, test } from 'tap'
import type { AppConfig } from '../../src/config/config.ts'
import { Problem } from '../../src/errors.ts'
import { logSink, testApp } from '../support/app.ts'
import { frozenClock } from '../support/clock.ts'
import { bearer, token } from '../support/tokens.ts'

type RateLimit = Partial<AppConfig['rateLimit']>

/** The service with a route per bucket, and one that decides for itself. */
function limitedApp(t: Test, rateLimit: RateLimit, more: Parameters<typeof testApp>[1] = {}) {
  return testApp(t, {
    ...more,
    config: { ...more.config, rateLimit },
    routes: async (app) => {
      app.post('/start', { config: { scope: 'agent:write', bucket: 'start' } }, async () => 'started')
      app.get('/read', { config: { scope: 'agent:read', bucket: 'read' } }, async () => 'read')
      app.post(
        '/either/:replay',
        { config: { scope: 'agent:write', bucket: 'handler' } },
        async (request) => {
          await request.charge((request.params as { replay: string }).replay === 'yes' ? 'read' : 'start')
          return 'done'
        },
      )
    },
  })
}

type App = ReturnType<typeof limitedApp>
const scope = 'agent:read agent:write agent:delegate'
const start = (app: App, own: object = {}, as?: string) =>
  app.inject({
    method: 'POST',
    url: '/start',
    headers: { ...bearer({ scope, ...own }), ...(as ? { 'x-effective-user': as } : {}) },
  })
const read = (app: App, own: object = {}) => app.inject({ url: '/read', headers: bearer({ scope, ...own }) })

test('a used up bucket is 429 with everything needed to act on it', async (t) => {
  const clock = frozenClock(t)
  const app = limitedApp(t, { startMax: 2 })
  const first = await start(app)
  t.equal(first.statusCode, 200)
  t.equal(first.headers['ratelimit-policy'], '"start";q=2;w=60')
  t.equal(first.headers.ratelimit, '"start";r=1;t=60')
  clock.advance(48_000)
  t.equal((await start(app)).headers.ratelimit, '"start";r=0;t=12')

  const refused = await start(app)
  t.equal(refused.statusCode, 429)
  const { requestId, ...body } = refused.json()
  t.same(body, {
    type: '/problems/rate_limited',
    title: 'Rate limit exceeded',
    status: 429,
    detail: '2 starts per minute; next allowed in 12 s.',
    instance: '/start',
    code: 'rate_limited',
    error: 'Rate limit exceeded',
    retryable: true,
    retryAfter: 12,
  })
  t.match(refused.headers, {
    'retry-after': '12',
    'ratelimit-policy': '"start";q=2;w=60',
    ratelimit: '"start";r=0;t=12',
    'x-request-id': requestId,
  })
  t.equal((await read(app)).statusCode, 200, 'reads are another bucket')
  t.equal((await start(app, { sub: 'bob' })).statusCode, 200, 'bob is another user')
  clock.advance(12_000)
  t.equal((await start(app)).statusCode, 200)
})

test('limits go by the effective user, not by the actor', async (t) => {
  const app = limitedApp(t, { startMax: 2 })
  t.equal((await start(app, { sub: 'alice' })).statusCode, 200)
  t.equal((await start(app, { sub: 'gateway' }, 'alice')).statusCode, 200)
  const refused = await start(app, { sub: 'another-gateway' }, 'alice')
  t.equal(refused.statusCode, 429)
  t.equal((await start(app, { sub: 'gateway' }, 'bob')).statusCode, 200)
})

test('an actor has a limit of its own over all its users', async (t) => {
  const app = limitedApp(t, { startMax: 5, actorMax: 3 })
  for (const user of ['a', 'b', 'c']) {
    const answer = await start(app, { sub: 'gateway' }, user)
    t.equal(answer.statusCode, 200)
    t.match(answer.headers['ratelimit-policy'], '"start";q=5;w=60, "start-actor";q=3;w=60')
  }
  const refused = await start(app, { sub: 'gateway' }, 'd')
  t.equal(refused.statusCode, 429)
  t.match(refused.json().detail, /^3 starts by one actor per minute; next allowed in \d+ s\.$/)
  t.equal(
    (await start(app, { sub: 'd' })).headers.ratelimit,
    '"start";r=4;t=60',
    'the refusal cost d nothing',
  )

  const byDefault = limitedApp(t, { startMax: 2, readMax: 7 })
  t.match((await start(byDefault, { sub: 'g' }, 'a')).headers['ratelimit-policy'], '"start-actor";q=40;w=60')
})

test('a route may decide late what it costs', async (t) => {
  const app = limitedApp(t, { startMax: 1 })
  const turn = (replay: string) => app.inject({ method: 'POST', url: `/either/${replay}`, headers: bearer() })
  t.equal((await turn('no')).headers.ratelimit, '"start";r=0;t=60')
  t.equal((await turn('no')).statusCode, 429)
  const replay = await turn('yes')
  t.equal(replay.statusCode, 200)
  t.match(replay.headers.ratelimit, /^"read";r=599;/)
})

test('a request that is refused before its route has chosen a price is charged as a read', async (t) => {
  const app = limitedApp(t, { startMax: 1, readMax: 4 })
  const start = (payload: string, type = 'application/json') =>
    app.inject({
      method: 'POST',
      url: '/api/agent/chat',
      headers: { ...bearer(), 'content-type': type },
      payload,
    })
  const refusals = [
    await start('{}'),
    await start('{'),
    await start('message=hi', 'text/plain'),
    await start(JSON.stringify({ message: '😀'.repeat(50_000) })),
  ]
  t.same(
    refusals.map((answer) => [
      answer.json().code,
      answer.headers['ratelimit-policy'],
      answer.headers.ratelimit,
    ]),
    ['invalid_request', 'malformed_json', 'unsupported_media_type', 'engine_payload_too_large'].map(
      (code, count) => [code, '"read";q=4;w=60', `"read";r=${3 - count};t=60`],
    ),
  )
  const limited = await start('{}')
  t.match(limited.json(), { code: 'rate_limited', retryAfter: Number }, 'in the place of the refusal')
  t.match(limited.headers, { 'retry-after': String, ratelimit: /^"read";r=0;/ })
  const accepted = await start(JSON.stringify({ message: 'hello' }))
  t.match(accepted.headers.ratelimit, /^"start";r=0;/, 'no start was spent')
  t.equal((await start(JSON.stringify({ message: 'hello' }))).statusCode, 429)
})

test('refusals that come before the caller is known cost nothing', async (t) => {
  const app = limitedApp(t, { startMax: 1 })
  for (let i = 0; i < 3; i++) {
    t.equal((await start(app, { exp: 1 })).statusCode, 401)
    t.equal((await start(app, { scope: 'agent:read' })).statusCode, 403)
    t.equal((await app.inject('/nowhere')).statusCode, 404)
  }
  t.equal((await start(app)).statusCode, 200)
})

test('bad tokens are counted by address, good ones never refused for it', async (t) => {
  const app = limitedApp(t, {}, { config: { auth: { failureMax: 3 }, trustProxy: true } })
  const bad = (ip: string) =>
    app.inject({ url: '/read', headers: { authorization: 'Bearer bad', 'x-forwarded-for': ip } })
  for (let i = 0; i < 3; i++) t.equal((await bad('1.1.1.1')).statusCode, 401)
  const refused = await bad('1.1.1.1')
  t.equal(refused.statusCode, 429)
  t.match(refused.json(), {
    code: 'rate_limited',
    detail: /^3 bad tokens from one address per minute; next allowed in \d+ s\.$/,
  })
  t.equal(refused.headers['retry-after'], String(refused.json().retryAfter))
  t.equal((await bad('2.2.2.2')).statusCode, 401, 'another address')
  const good = { authorization: `Bearer ${token()}`, 'x-forwarded-for': '1.1.1.1' }
  t.equal((await app.inject({ url: '/read', headers: good })).statusCode, 200)
  const none = await app.inject({ url: '/read', headers: { 'x-forwarded-for': '1.1.1.1' } })
  t.equal(none.statusCode, 401, 'no token is not a bad one')

  for (let i = 0; i < 3; i++) await bad(`2001:db8:1:2::${i}`)
  t.equal((await bad('2001:db8:1:2:ffff::1')).statusCode, 429, 'a /64 is one address')
  t.equal((await bad('2001:db8:1:3::1')).statusCode, 401)
})

test('an address is counted without its port, its brackets, its quotes and its zone', async (t) => {
  const bad = (app: App, forwarded: string) =>
    app.inject({ url: '/read', headers: { authorization: 'Bearer bad', 'x-forwarded-for': forwarded } })
  const config = { auth: { failureMax: 2 }, trustProxy: true as boolean | string[] }
  const app = limitedApp(t, {}, { config })
  for (const [what, entries] of Object.entries({
    'ports of IPv4': ['203.0.113.7:5001', '203.0.113.7:5002', '203.0.113.7'],
    'ports of IPv6': ['[2001:db8:1::1]:443', '[2001:db8:1::2]', '2001:DB8:1::3'],
    quotes: ['"[2001:db8:2::1]:443"', '"[2001:db8:2::9]"', '2001:db8:2::1'],
    'IPv4 in IPv6': ['::ffff:203.0.113.9', '[::ffff:203.0.113.9]:80', '203.0.113.9:1'],
    zones: ['fe80::1%eth0', '[fe80::1%eth1]:80', 'fe80::1'],
    'what is no address': ['unknown', '_hidden', ''],
  })) {
    const answers = []
    for (const entry of entries) answers.push((await bad(app, entry)).statusCode)
    t.same(answers, [401, 401, 429], what)
  }
  const trusting = limitedApp(t, {}, { config: { ...config, trustProxy: ['127.0.0.1', '10.0.0.0/8'] } })
  const chain = (port: number) => bad(trusting, `6.6.6.${port}, 203.0.113.7:${port}, 10.0.0.5:${port}`)
  t.same(
    [await chain(1), await chain(2), await chain(3)].map((answer) => answer.statusCode),
    [401, 401, 429],
  )
})

test('waiting exactly retryAfter is enough, in many random histories', async (t) => {
  const clock = frozenClock(t)
  const step = fc.record({
    wait: fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 1500 }), fc.integer({ min: 0, max: 70_000 })),
    user: fc.constantFrom('a', 'b', 'c'),
    actor: fc.constantFrom(undefined, 'x', 'y'),
  })
  for (const rateLimit of [
    { startMax: 1, actorMax: 1, windowSeconds: 1 },
    { startMax: 2, actorMax: 3, windowSeconds: 7 },
    { startMax: 4, actorMax: 4, windowSeconds: 60 },
    { startMax: 3, actorMax: 8, windowSeconds: 60 },
  ]) {
    const charge = await budgetsOf(limitedApp(t, rateLimit))
    let refusals = 0
    let run = 0
    const history = async (steps: { wait: number; user: string; actor: string | undefined }[]) => {
      run++
      for (const { wait, user, actor } of steps) {
        clock.advance(wait)
        const refusal = await charge(`${user}${run}`, actor && `${actor}${run}`)
        if (refusal === undefined) continue
        refusals++
        const { retryAfter = 0 } = refusal.details
        if (retryAfter < 1 || retryAfter > rateLimit.windowSeconds) throw new Error(`waits ${retryAfter} s`)
        clock.advance(retryAfter * 1000)
        const again = await charge(`${user}${run}`, actor && `${actor}${run}`)
        if (again !== undefined) throw new Error(`refused again: ${again.message}`)
      }
    }
    await fc.assert(fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 60 }), history))
    t.ok(refusals > 20, `${refusals} refusals waited for`)
  }
})

test('never more than the limit passes in one window', async (t) => {
  const clock = frozenClock(t)
  const charge = await budgetsOf(limitedApp(t, { startMax: 5, windowSeconds: 10 }))
  let passed = 0
  for (let i = 0; i < 100; i++) {
    if ((await charge('a')) === undefined) passed++
    clock.advance(99)
  }
  t.equal(passed, 5)
})

/** The budgets of a service without the HTTP in front of them. */
async function budgetsOf(app: App) {
  await app.ready()
  const reply = { headers: () => reply } as unknown as FastifyReply
  return async (userId: string, actor?: string): Promise<Problem | undefined> => {
    const caller = actor === undefined ? { userId } : { userId, actor }
    const request = { caller, routeOptions: { config: {} } } as unknown as FastifyRequest
    try {
      await app.limits.charge(request, reply, 'start')
    } catch (error) {
      if (error instanceof Problem) return error
      throw error
    }
  }
}

/** Waits, by the real clock, as long as the service says, and finds that it was right. */
async function waitsOnce(t: Test, app: App, user: string) {
  t.equal((await start(app, { sub: user })).statusCode, 200)
  t.equal((await start(app, { sub: user })).statusCode, 200)
  const refused = await start(app, { sub: user })
  t.equal(refused.statusCode, 429)
  const { retryAfter, detail } = refused.json()
  t.ok(retryAfter === 1 || retryAfter === 2, `${retryAfter} s`)
  t.match(detail, /^2 starts per 2 seconds; next allowed in [12] s\.$/)
  await sleep(retryAfter * 1000)
  t.equal((await start(app, { sub: user })).statusCode, 200)
}

test('the same by the real clock', async (t) => {
  await waitsOnce(t, limitedApp(t, { startMax: 2, windowSeconds: 2 }), 'alice')
})

test('a Redis that refuses or hangs lets requests pass, uncounted and soon', async (t) => {
  const sockets = new Set<Socket>()
  const silent = createServer((socket) => sockets.add(socket.on('error', () => {})))
  await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve))
  const { port } = silent.address() as { port: number }
  t.teardown(() => {
    silent.close()
    for (const socket of sockets) socket.destroy()
  })
  for (const redisUrl of ['redis://127.0.0.1:1', `redis://127.0.0.1:${port}`]) {
    const { lines, logger } = logSink()
    const app = limitedApp(t, { startMax: 1, redisUrl }, { config: { logLevel: 'warn' }, logger })
    await app.ready()
    const began = performance.now()
    for (let i = 0; i < 5; i++) t.equal((await start(app)).statusCode, 200, redisUrl)
    const delegated = await start(app, { sub: 'gateway' }, 'alice')
    t.equal(delegated.statusCode, 200)
    t.notOk(delegated.headers.ratelimit, 'nothing is known about what is left')
    const bad = await app.inject({ url: '/read', headers: { authorization: 'Bearer bad' } })
    t.equal(bad.statusCode, 401)
    t.equal(app.limits.uncounted, 7)
    const seconds = Math.ceil((performance.now() - began) / 1000)
    const warnings = lines.filter((line) => /Redis is away/.test(String(line.msg)))
    t.ok(warnings.length >= 1 && warnings.length <= seconds + 1, `${warnings.length} lines in ${seconds} s`)
  }
})

const realRedis = process.env.TEST_REDIS_URL

test('instances share their buckets over Redis', {
  skip: realRedis === undefined && 'TEST_REDIS_URL is not set',
}, async (t) => {
  const redisUrl = realRedis ?? ''
  const user = randomUUID()
  const [one, two] = [0, 1].map(() => limitedApp(t, { startMax: 2, windowSeconds: 2, redisUrl })) as [
    App,
    App,
  ]
  await Promise.all([one.ready(), two.ready()])
  // The connection is dialled in the background; until it is there requests pass uncounted.
  while (
    (await read(one)).headers.ratelimit === undefined ||
    (await read(two)).headers.ratelimit === undefined
  ) {
    await sleep(10)
  }
  t.equal((await start(one, { sub: user })).headers.ratelimit, '"start";r=1;t=2')
  const redis = new Redis(redisUrl)
  t.teardown(() => redis.disconnect())
  t.equal(await redis.get(`agent-chat-service:start:${user}`), '1', 'an operator can read the keys')
  t.equal((await start(two, { sub: user })).headers.ratelimit, '"start";r=0;t=2')
  t.equal((await start(one, { sub: user })).statusCode, 429)
  t.equal((await read(two, { sub: user })).statusCode, 200, 'reads are another bucket')
  await waitsOnce(t, two, randomUUID())

  const gateway = { sub: randomUUID() }
  const delegating = limitedApp(t, { startMax: 2, actorMax: 3, windowSeconds: 2, redisUrl })
  while ((await start(delegating, gateway, randomUUID())).headers.ratelimit === undefined) await sleep(10)
  t.equal((await start(delegating, gateway, randomUUID())).statusCode, 200)
  t.equal((await start(delegating, gateway, randomUUID())).statusCode, 200)
  const refused = await start(delegating, gateway, randomUUID())
  t.match(refused.json().detail, /^3 starts by one actor per 2 seconds/)
  await sleep(refused.json().retryAfter * 1000)
  t.equal((await start(delegating, gateway, user)).statusCode, 200)
})

const WAVES = 6

test('two instances on one Redis share a budget to the request', {
  skip: realRedis === undefined && 'TEST_REDIS_URL is not set',
}, async (t) => {
  const max = 25
  const apps = [0, 1].map(() =>
    limitedApp(t, { startMax: max, windowSeconds: 60, redisUrl: realRedis ?? '' }),
  )
  await Promise.all(apps.map((app) => app.ready()))
  for (const app of apps) while ((await read(app)).headers.ratelimit === undefined) await sleep(10)
  const uncounted = () => apps.reduce((sum, app) => sum + app.limits.uncounted, 0)
  for (const isDelegated of [false, true]) {
    let allowed = 0
    // A busy machine may take longer than a request waits for Redis. Such a request passes, and is no case of this test.
    for (let before = -1; before !== uncounted(); ) {
      before = uncounted()
      allowed = 0
      const sub = randomUUID()
      const user = isDelegated ? [randomUUID()] : []
      for (let wave = 0; wave < WAVES; wave++) {
        const answers = await Promise.all(
          Array.from({ length: 10 }, (_, n) => start(apps[n % 2] as App, { sub }, ...user)),
        )
        allowed += answers.filter(({ statusCode }) => statusCode === 200).length
      }
    }
    t.equal(allowed, max)
  }
})

test('a Redis that goes away and comes back', {
  skip: realRedis === undefined && 'TEST_REDIS_URL is not set',
}, async (t) => {
  const { hostname, port } = new URL(realRedis ?? 'redis://127.0.0.1')
  const proxy = await breakableProxy(t, hostname, Number(port || 6379))
  const app = limitedApp(t, { startMax: 3, redisUrl: `redis://127.0.0.1:${proxy.port}` })
  const sub = randomUUID()
  while ((await start(app, { sub })).headers.ratelimit === undefined) await sleep(10)
  proxy.cut()
  for (let i = 0; i < 5; i++) t.equal((await start(app, { sub })).statusCode, 200)
  t.ok(app.limits.uncounted >= 5)
  proxy.mend()
  let last = await start(app, { sub })
  while (last.headers.ratelimit === undefined) {
    await sleep(20)
    last = await start(app, { sub })
  }
  t.match(last.headers.ratelimit, /^"start";r=[01];/, 'what was counted before still counts')
})

/** A proxy in front of Redis whose cable can be cut. */
async function breakableProxy(t: Test, host: string, port: number) {
  const open = new Set<Socket>()
  let cut = false
  const server = createServer((client) => {
    if (cut) return void client.destroy()
    const upstream = connect(port, host)
    for (const socket of [client, upstream]) open.add(socket.on('error', () => {}))
    client.pipe(upstream).pipe(client)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const drop = () => {
    for (const socket of open) socket.destroy()
  }
  t.teardown(() => {
    server.close()
    drop()
  })
  return {
    port: (server.address() as { port: number }).port,
    cut() {
      cut = true
      drop()
    },
    mend() {
      cut = false
    },
  }
}
