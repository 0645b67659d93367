import { generateKeyPairSync, sign } from 'node:crypto'
import { type AddressInfo, connect } from 'node:net'
import { CompactEncrypt, exportSPKI, importJWK, type JWK, UnsecuredJWT } from 'jose'
import { type Test, test } from 'tap'
import { createKeySet } from '../../src/auth/key-set.ts'
import type { AppConfig } from '../../src/config/config.ts'
import { logSink, testApp } from '../support/app.ts'
import { frozenClock } from '../support/clock.ts'
import {
  base64,
  bearer,
  claims,
  compact,
  createSigner,
  inSeconds,
  SECRET,
  serveKeySet,
  token,
} from '../support/tokens.ts'

const REALM = 'Bearer realm="agent-chat-service"'

/** The service with three routes that say who called. */
function whoApp(t: Test, auth: Partial<AppConfig['auth']> = {}, logger = {}) {
  return testApp(t, {
    config: { auth, ...(Object.keys(logger).length > 0 ? { logLevel: 'info' } : {}) },
    logger,
    routes: async (app) => {
      app.get('/who', { config: { scope: 'agent:read', bucket: 'read' } }, async (request) => ({
        ...request.caller,
        expires: request.tokenExpiresAt.getTime(),
      }))
      app.post(
        '/do',
        { config: { scope: 'agent:write', bucket: 'start' } },
        async (request) => request.caller,
      )
      app.get('/open', { config: { access: 'public' } }, async () => 'come in')
    },
  })
}

const ask = (app: ReturnType<typeof whoApp>, authorization: string) =>
  app.inject({ url: '/who', headers: { authorization } })

test('a valid token says who calls, and until when', async (t) => {
  const app = whoApp(t)
  const exp = inSeconds(60)
  const answer = await app.inject({ url: '/who', headers: bearer({ exp, scope: 'other agent:read' }) })
  t.equal(answer.statusCode, 200)
  t.same(answer.json(), { userId: 'alice', scopes: ['other', 'agent:read'], expires: exp * 1000 })

  const scopes = await app.inject({
    url: '/who',
    headers: bearer({ scope: undefined, scopes: ['agent:read'] }),
  })
  t.equal(scopes.json().userId, 'alice', 'scopes may be an array')
  const lower = await ask(app, `bearer ${token({ sub: 'Jürgen 🦉' })}`)
  t.equal(lower.json().userId, 'Jürgen 🦉', 'the scheme has no case, names have any script')
  t.equal((await app.inject('/open')).body, 'come in')
})

test('a clock that is five seconds off is forgiven, more is not', async (t) => {
  frozenClock(t)
  const app = whoApp(t)
  t.equal((await ask(app, `Bearer ${token({ exp: inSeconds(-3) })}`)).statusCode, 200)
  t.equal((await ask(app, `Bearer ${token({ nbf: inSeconds(3) })}`)).statusCode, 200)
  t.equal((await ask(app, `Bearer ${token({ exp: inSeconds(-8) })}`)).statusCode, 401)
  t.equal((await ask(app, `Bearer ${token({ nbf: inSeconds(8) })}`)).statusCode, 401)
})

test('a token that was valid a moment ago is not when it has expired', async (t) => {
  const clock = frozenClock(t)
  const app = whoApp(t)
  const header = `Bearer ${token({ exp: inSeconds(60) })}`
  t.equal((await ask(app, header)).statusCode, 200)
  clock.advance(64_000)
  t.equal((await ask(app, header)).statusCode, 200)
  clock.advance(2_000)
  t.equal((await ask(app, header)).statusCode, 401)
})

test('no token is 401 without a reason', async (t) => {
  const answer = await whoApp(t).inject('/who')
  t.equal(answer.statusCode, 401)
  t.equal(answer.headers['www-authenticate'], REALM)
  t.match(answer.json(), { code: 'unauthorized', status: 401, retryable: false, instance: '/who' })
})

const BAD_TOKENS: Record<string, () => string | Promise<string>> = {
  'an empty header': () => '',
  'Bearer alone': () => 'Bearer',
  'Bearer and a space': () => 'Bearer ',
  'Basic authentication': () => `Basic ${Buffer.from('alice:secret').toString('base64')}`,
  'a token without scheme': () => token(),
  'two tokens in one header': () => `Bearer ${token()} ${token()}`,
  'two tokens with a comma': () => `Bearer ${token()}, Bearer ${token()}`,
  'expired an hour ago, under another secret': () =>
    `Bearer ${token({ exp: inSeconds(-3600) }, 'another-secret-of-at-least-32-bytes!')}`,
  'a tab after the scheme': () => `Bearer\t${token()}`,
  'no blank after the scheme': () => `Bearer${token()}`,
  'a token in quotes': () => `Bearer "${token()}"`,
  rubbish: () => 'Bearer rubbish',
  'dots only': () => 'Bearer ..',
  'one part': () => `Bearer ${token().split('.')[0]}`,
  'two parts': () => `Bearer ${token().split('.').slice(0, 2).join('.')}`,
  'four parts': () => `Bearer ${token()}.${base64({})}`,
  'the signature stripped': () => `Bearer ${token().replace(/[^.]*$/, '')}`,
  'the signature truncated': () => `Bearer ${token().slice(0, -4)}`,
  'another payload under the signature': () => {
    const [header, , signature] = token().split('.')
    return `Bearer ${header}.${base64(claims({ sub: 'mallory' }))}.${signature}`
  },
  'a token of 10 KiB': () => `Bearer ${token({ pad: 'x'.repeat(10_000) }, 'wrong'.repeat(8))}`,
  'a payload that is not JSON': () =>
    `Bearer ${base64({ alg: 'HS256' })}.${Buffer.from('{').toString('base64url')}.x`,
  'a payload that is a string': () => `Bearer ${compact({ alg: 'HS256' }, 'alice', SECRET)}`,
  'a payload that is null': () => `Bearer ${compact({ alg: 'HS256' }, null, SECRET)}`,
  'a payload that is an array': () => `Bearer ${compact({ alg: 'HS256' }, [claims()], SECRET)}`,
  'a header that is null': () => `Bearer ${compact(null as unknown as object, claims(), SECRET)}`,
  'alg none': () => `Bearer ${new UnsecuredJWT(claims()).encode()}`,
  'alg none, spelled otherwise, with a signature': () =>
    `Bearer ${compact({ alg: 'nOnE' }, claims(), SECRET)}`,
  'alg missing': () => `Bearer ${compact({}, claims(), SECRET)}`,
  'alg a number': () => `Bearer ${compact({ alg: 256 }, claims(), SECRET)}`,
  'HS512, which is not configured': () => `Bearer ${compact({ alg: 'HS512' }, claims(), SECRET, 'sha512')}`,
  'an RS256 token': async () => `Bearer ${await (await createSigner('RS256', 'k')).sign()}`,
  'an unknown critical header': () =>
    `Bearer ${compact({ alg: 'HS256', crit: ['x'], x: 1 }, claims(), SECRET)}`,
  'another secret': () => `Bearer ${token({}, 'another-secret-of-at-least-32-bytes!')}`,
  'an encrypted token': async () =>
    `Bearer ${await new CompactEncrypt(Buffer.from(token()))
      .setProtectedHeader({ alg: 'dir', enc: 'A256GCM' })
      .encrypt(Buffer.alloc(32))}`,
  'expired an hour ago': () => `Bearer ${token({ exp: inSeconds(-3600) })}`,
  'exp missing': () => `Bearer ${token({ exp: undefined })}`,
  'exp a string': () => `Bearer ${token({ exp: String(inSeconds(60)) })}`,
  'exp null': () => `Bearer ${token({ exp: null })}`,
  'exp far below any date': () => `Bearer ${token({ exp: -1e300 })}`,
  'not valid before next hour': () => `Bearer ${token({ nbf: inSeconds(3600) })}`,
  'nbf a string': () => `Bearer ${token({ nbf: 'now' })}`,
  'sub missing': () => `Bearer ${token({ sub: undefined })}`,
  'sub empty': () => `Bearer ${token({ sub: '' })}`,
  'sub too long': () => `Bearer ${token({ sub: 'a'.repeat(256) })}`,
  'sub with a NUL': () => `Bearer ${token({ sub: 'al\0ice' })}`,
  'sub with a line break': () => `Bearer ${token({ sub: 'alice\n' })}`,
  'sub with half a surrogate pair': () => `Bearer ${token({ sub: 'alice\ud800' })}`,
  'sub a number': () => `Bearer ${token({ sub: 42 })}`,
  'sub an object': () => `Bearer ${token({ sub: { id: 'alice' } })}`,
  'act a string': () => `Bearer ${token({ act: 'gateway' })}`,
  'act without sub': () => `Bearer ${token({ act: {} })}`,
  'act null': () => `Bearer ${token({ act: null })}`,
  'act nested without end': () => {
    let act: object = { sub: 'last' }
    for (let i = 0; i < 50; i++) act = { sub: `a${i}`, act }
    return `Bearer ${token({ act })}`
  },
}

/** What the answer says of a token with a valid signature that is only too old or too young. */
const TOLD: Record<string, string> = {
  'expired an hour ago': 'The token has expired.',
  'not valid before next hour': 'The token is not valid yet.',
}

test('every bad token is 401, and the reason stays in the log', async (t) => {
  const { lines, logger } = logSink()
  const app = whoApp(t, {}, logger)
  for (const [what, make] of Object.entries(BAD_TOKENS)) {
    const answer = await ask(app, await make())
    t.equal(answer.statusCode, 401, what)
    const told = TOLD[what]
    const description = told === undefined ? '' : `, error_description="${told}"`
    t.equal(answer.headers['www-authenticate'], `${REALM}, error="invalid_token"${description}`, what)
    const { requestId, ...body } = answer.json()
    t.same(
      body,
      {
        type: '/problems/unauthorized',
        title: 'Unauthorized',
        status: 401,
        detail:
          told ??
          'There is no bearer token, or it is not valid here. The reason is in the log of the service.',
        instance: '/who',
        code: 'unauthorized',
        error: 'Unauthorized',
        retryable: false,
      },
      what,
    )
    t.ok(
      lines.some((line) => line.requestId === requestId && typeof line.reason === 'string'),
      `${what}: logged`,
    )
  }
  const log = JSON.stringify(lines)
  t.notMatch(log, /eyJ|Basic/, 'no token and no header is in the log')
})

test('one or more blanks stand between the scheme and the token, and the scheme has any case', async (t) => {
  const app = whoApp(t)
  for (const scheme of ['Bearer ', 'Bearer  ', 'bearer   ', 'BEARER      '])
    t.equal((await ask(app, `${scheme}${token()}`)).statusCode, 200, scheme)
  const rotated = whoApp(t, {
    keys: { kind: 'secrets', secrets: ['the-new-secret-that-comes-now-012345', SECRET] },
  })
  t.equal((await ask(rotated, `bearer   ${token()}`)).statusCode, 200, 'while secrets are rotated too')
})

test('scopes are read from the claims that are configured', async (t) => {
  const byDefault = whoApp(t)
  for (const own of [
    { scp: 'openid agent:read' },
    { scp: ['agent:read'] },
    { permissions: ['agent:read'] },
    { scopes: 'agent:read' },
    { scope: 'other', permissions: ['agent:read'] },
  ]) {
    const answer = await ask(byDefault, `Bearer ${token({ scope: undefined, ...own })}`)
    t.equal(answer.statusCode, 200, JSON.stringify(own))
  }
  const configured = whoApp(t, { scopeClaims: ['https://example.com/scopes', '__proto__'] })
  const own = token({ scope: undefined, 'https://example.com/scopes': ['agent:read'] })
  t.equal((await ask(configured, `Bearer ${own}`)).statusCode, 200)
  t.equal((await ask(configured, `Bearer ${token()}`)).statusCode, 403, 'no other claim counts')
  for (const permissions of [{ 'agent:read': true }, [['agent:read']], 'agent:reader', 7, null]) {
    const answer = await ask(byDefault, `Bearer ${token({ scope: undefined, permissions })}`)
    t.equal(answer.statusCode, 403, JSON.stringify(permissions))
  }
})

test('two Authorization headers are 401, though each is valid', async (t) => {
  const app = whoApp(t)
  await app.listen({ host: '127.0.0.1', port: 0 })
  const socket = connect((app.server.address() as AddressInfo).port, '127.0.0.1')
  const header = `Authorization: Bearer ${token()}\r\n`
  socket.end(`GET /who HTTP/1.1\r\nHost: localhost\r\n${header}${header}Connection: close\r\n\r\n`)
  const answer = (await socket.toArray()).join('')
  t.match(answer, /^HTTP\/1\.1 401 /)
  t.match(answer, 'error="invalid_token"')
})

test('issuer and audience are checked when they are configured', async (t) => {
  const app = whoApp(t, { issuer: 'https://issuer.example', audience: 'agents' })
  const right = { iss: 'https://issuer.example', aud: 'agents' }
  t.equal((await ask(app, `Bearer ${token(right)}`)).statusCode, 200)
  t.equal((await ask(app, `Bearer ${token({ ...right, aud: ['others', 'agents'] })}`)).statusCode, 200)
  for (const wrong of [
    { iss: 'https://issuer.example/' },
    { iss: undefined },
    { iss: ['https://issuer.example'] },
    { aud: 'agent' },
    { aud: undefined },
    { aud: [] },
    { aud: {} },
  ]) {
    const answer = await ask(app, `Bearer ${token({ ...right, ...wrong })}`)
    t.equal(answer.statusCode, 401, JSON.stringify(wrong))
  }
})

test('several secrets are valid while they are rotated', async (t) => {
  const secrets = ['the-new-secret-that-comes-now-012345', SECRET]
  const app = whoApp(t, { keys: { kind: 'secrets', secrets } })
  for (const secret of secrets) t.equal((await ask(app, `Bearer ${token({}, secret)}`)).statusCode, 200)
  const unknown = await ask(app, `Bearer ${token({}, 'a-secret-that-went-out-of-use-long-ago')}`)
  t.equal(unknown.statusCode, 401)
})

test('a missing scope is 403 and names the scope', async (t) => {
  const app = whoApp(t)
  const read = await app.inject({ method: 'POST', url: '/do', headers: bearer({ scope: 'agent:read' }) })
  t.equal(read.statusCode, 403)
  t.equal(read.headers['www-authenticate'], `${REALM}, error="insufficient_scope", scope="agent:write"`)
  t.match(read.json(), { code: 'insufficient_scope', detail: 'The token lacks the scope agent:write.' })
  for (const scope of [undefined, '', 'agent:writer', 'AGENT:WRITE', 42, ['agent:write ']]) {
    const answer = await app.inject({ method: 'POST', url: '/do', headers: bearer({ scope }) })
    t.equal(answer.statusCode, 403, JSON.stringify(scope))
  }
})

test('X-Effective-User names the user where the token may delegate', async (t) => {
  const app = whoApp(t)
  const scope = 'agent:read agent:delegate'
  const as = (user: string, own: object = {}) =>
    app.inject({
      url: '/who',
      headers: { ...bearer({ sub: 'gateway', scope, ...own }), 'x-effective-user': user },
    })

  t.match((await as('bob')).json(), { userId: 'bob', actor: 'gateway' })
  t.match((await as('bob', { act: { sub: 'backend', act: { sub: 'cron' } } })).json(), {
    userId: 'bob',
    actor: 'gateway, backend, cron',
  })
  const umlaut = await as(Buffer.from('Jürgen').toString('latin1'))
  t.match(umlaut.json(), { userId: 'Jürgen' }, 'a name in UTF-8 equals the sub of a token')

  const forbidden = await as('bob', { scope: 'agent:read' })
  t.equal(forbidden.statusCode, 403)
  t.match(forbidden.headers['www-authenticate'], 'scope="agent:delegate"')
  for (const user of ['', 'b\tb', 'b'.repeat(256)]) {
    const answer = await as(user)
    t.equal(answer.statusCode, 400, JSON.stringify(user))
    t.match(answer.json(), { code: 'invalid_request', errors: [{ in: 'header', path: '/x-effective-user' }] })
  }
  t.equal((await as('', { scope: 'agent:read' })).statusCode, 403, 'an empty one is not ignored either')
})

test('with an act claim the user is sub and the actor is act', async (t) => {
  const answer = await ask(whoApp(t), `Bearer ${token({ act: { sub: 'gateway' } })}`)
  t.match(answer.json(), { userId: 'alice', actor: 'gateway' })
})

test('user and actor are in the log lines of the request', async (t) => {
  const { lines, logger } = logSink()
  await ask(whoApp(t, {}, logger), `Bearer ${token({ act: { sub: 'gateway' } })}`)
  t.match(
    lines.find((line) => line.msg === 'answered'),
    { userId: 'alice', actor: 'gateway', path: '/who', status: 200 },
  )
})

type RsaSigner = { jwk: JWK; sign(own: object): string }

/** Signs with RSA keys that are too short for the library of the other signers. */
function rsaSigner(bits: number, kid: string): RsaSigner {
  const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: bits })
  return {
    jwk: { ...(publicKey.export({ format: 'jwk' }) as JWK), kid, alg: 'RS256', use: 'sig' },
    sign(own) {
      const input = `${base64({ alg: 'RS256', kid })}.${base64(claims({ ...own }))}`
      return `${input}.${sign('sha256', Buffer.from(input), privateKey).toString('base64url')}`
    },
  }
}

const ISSUED = { iss: 'https://issuer.example', aud: 'agents' }
const fromKeySet = (url: string) => ({
  keys: { kind: 'jwks' as const, url },
  issuer: ISSUED.iss,
  audience: ISSUED.aud,
})

test('a key set verifies RS256, ES256 and EdDSA, and nothing else', async (t) => {
  const [rs, es, ed] = await Promise.all([
    createSigner('RS256', 'rs'),
    createSigner('ES256', 'es'),
    createSigner('EdDSA', 'ed'),
  ])
  const { url, state } = await serveKeySet(t, [rs.jwk, es.jwk, ed.jwk])
  const app = whoApp(t, fromKeySet(url))
  for (const signer of [rs, es, ed]) {
    const answer = await ask(app, `Bearer ${await signer.sign(ISSUED)}`)
    t.equal(answer.statusCode, 200, String(signer.jwk.alg))
    t.equal(answer.json().userId, 'alice')
  }
  t.equal(state.fetches, 1, 'fetched once')

  const stranger = await createSigner('RS256', 'rs')
  const publicPem = await exportSPKI((await importJWK(rs.jwk, 'RS256', { extractable: true })) as never)
  const bad: Record<string, string> = {
    'another key under a known id': await stranger.sign(ISSUED),
    'the public key as an HMAC secret': compact({ alg: 'HS256', kid: 'rs' }, claims(ISSUED), publicPem),
    'an HS256 token': token(ISSUED),
    'alg none': new UnsecuredJWT(claims(ISSUED)).encode(),
    'ES256 with the id of an RSA key': await es.sign(ISSUED, { kid: 'rs' }),
    'EdDSA with the id of an EC key': await ed.sign(ISSUED, { kid: 'es' }),
    'another issuer': await rs.sign({ ...ISSUED, iss: 'https://evil.example' }),
    'another audience': await rs.sign({ ...ISSUED, aud: 'others' }),
    expired: await rs.sign({ ...ISSUED, exp: inSeconds(-60) }),
    'not yet valid': await rs.sign({ ...ISSUED, nbf: inSeconds(60) }),
    'no exp': await rs.sign({ ...ISSUED, exp: undefined }),
    'a key id that is an object': compact({ alg: 'RS256', kid: {} }, claims(ISSUED), SECRET),
    'a key of its own in the header': await stranger.sign(ISSUED, { kid: 'own', jwk: stranger.jwk }),
    'RS512 with an RSA key': compact({ alg: 'RS512', kid: 'rs' }, claims(ISSUED), SECRET),
  }
  for (const [what, bearerToken] of Object.entries(bad)) {
    const answer = await ask(app, `Bearer ${bearerToken}`)
    t.equal(answer.statusCode, 401, what)
    t.equal(answer.json().code, 'unauthorized', what)
  }
})

test('unknown key ids cause a bounded number of fetches', async (t) => {
  const known = await createSigner('ES256', 'known')
  const unknown = await createSigner('ES256', 'unknown')
  const { url, state } = await serveKeySet(t, [known.jwk])
  const app = whoApp(t, fromKeySet(url))
  const header = `Bearer ${await unknown.sign(ISSUED)}`
  const answers = await Promise.all(Array.from({ length: 20 }, () => ask(app, header)))
  t.ok(answers.every((answer) => answer.statusCode === 401))
  t.equal(state.fetches, 1)
})

test('a key set that was never reachable is 503, and works once it is there', async (t) => {
  const signer = await createSigner('ES256', 'k')
  const { url, state } = await serveKeySet(t, [signer.jwk])
  const app = whoApp(t, fromKeySet(url))
  const header = `Bearer ${await signer.sign(ISSUED)}`
  for (const broken of [500, '<html>', '{"keys":1}']) {
    state.answer = broken
    const fresh = whoApp(t, fromKeySet(url))
    const answer = await ask(fresh, header)
    t.equal(answer.statusCode, 503, String(broken))
    t.match(answer.json(), { code: 'key_set_unavailable', retryable: true, retryAfter: 1 })
    t.equal(answer.headers['retry-after'], '1')
    t.equal((await ask(fresh, 'Bearer rubbish')).statusCode, 401, 'rubbish needs no key set')
  }
  state.answer = undefined
  t.equal((await ask(app, header)).statusCode, 200)
})

test('cached keys stay valid while the endpoint is away', async (t) => {
  const signer = await createSigner('EdDSA', 'k')
  const unknown = await createSigner('EdDSA', 'later')
  const { url, away } = await serveKeySet(t, [signer.jwk])
  const app = whoApp(t, fromKeySet(url))
  t.equal((await ask(app, `Bearer ${await signer.sign(ISSUED)}`)).statusCode, 200)
  await away()
  t.equal((await ask(app, `Bearer ${await signer.sign({ ...ISSUED, sub: 'bob' })}`)).statusCode, 200)
  t.equal((await ask(app, `Bearer ${await unknown.sign(ISSUED)}`)).statusCode, 401)
})

test('a new key is found once the cooldown is over, a withdrawn one is forgotten', async (t) => {
  const [old, next] = await Promise.all([createSigner('ES256', 'old'), createSigner('ES256', 'next')])
  const { url, state } = await serveKeySet(t, [old.jwk])
  let now = 0
  const keys = createKeySet(url, () => now)
  t.match(await keys.find({ alg: 'ES256', kid: 'old' }), /BEGIN PUBLIC KEY/)
  state.keys = [next.jwk]
  now += 9_999
  await t.rejects(keys.find({ alg: 'ES256', kid: 'next' }), 'not asked for again so soon')
  t.equal(state.fetches, 1)
  now += 1
  t.match(await keys.find({ alg: 'ES256', kid: 'next' }), /BEGIN PUBLIC KEY/)
  await t.rejects(keys.find({ alg: 'ES256', kid: 'old' }))
  t.equal(state.fetches, 2)

  state.answer = 500
  now += 10_000
  await t.rejects(keys.refresh())
  t.match(await keys.find({ alg: 'ES256', kid: 'next' }), /BEGIN PUBLIC KEY/, 'an outage forgets nothing')
  await t.rejects(keys.check())
  state.answer = undefined
  now += 10_000
  await keys.check()
  const { fetches } = state
  await keys.check()
  t.equal(state.fetches, fetches, 'what is known to be there is not asked')
})

test('RSA keys under 2,048 bits are refused, and say so in the log', async (t) => {
  const { lines, logger } = logSink()
  const [short, long] = [1024, 2048].map((bits) => rsaSigner(bits, `rsa${bits}`)) as [RsaSigner, RsaSigner]
  const { url } = await serveKeySet(t, [short.jwk, long.jwk])
  const app = whoApp(t, fromKeySet(url), logger)
  t.equal((await ask(app, `Bearer ${long.sign(ISSUED)}`)).statusCode, 200)
  t.equal((await ask(app, `Bearer ${short.sign(ISSUED)}`)).statusCode, 401)
  t.ok(lines.some(({ reason }) => /1024 bits, fewer than 2048/.test(String(reason))))
})

test('a key set of too many keys or bytes is not read, and the keys before it stay valid', async (t) => {
  const signer = await createSigner('ES256', 'k')
  const { url, state } = await serveKeySet(t, [signer.jwk])
  let now = 0
  const keys = createKeySet(url, () => now)
  t.match(await keys.find({ alg: 'ES256', kid: 'k' }), /BEGIN PUBLIC KEY/)
  const many = (count: number, pad: string) =>
    Array.from({ length: count }, (_, index) => ({ ...signer.jwk, kid: `k${index}`, pad }))
  for (const [what, set, why] of [
    ['20,000 keys', many(20_000, ''), /more than 524288 bytes/],
    ['one large key', many(1, 'x'.repeat(1024 * 1024)), /more than 524288 bytes/],
    ['more keys than a provider has', many(201, ''), /201 keys, more than 200/],
  ] as const) {
    state.keys = [...set]
    now += 10_000
    await t.rejects(keys.refresh(), why, what)
    t.match(await keys.find({ alg: 'ES256', kid: 'k' }), /BEGIN PUBLIC KEY/, what)
  }
  state.keys = many(200, '')
  now += 10_000
  t.match(await keys.find({ alg: 'ES256', kid: 'k199' }), /BEGIN PUBLIC KEY/)
})

test('a route that does not say who may call it stops the start', async (t) => {
  for (const config of [{}, { scope: 'agent:read' }, { access: 'public', scope: 'agent:read' }]) {
    const app = testApp(t, {
      routes: async (scope) => {
        scope.get('/undeclared', { config: config as object }, async () => 'oops')
      },
    })
    await t.rejects(async () => app.ready(), /do not declare who may call them: .*GET \/undeclared/)
  }
})

test('404 and 405 come before authentication', async (t) => {
  const app = whoApp(t)
  t.equal((await app.inject('/nowhere')).statusCode, 404)
  t.equal((await app.inject({ method: 'DELETE', url: '/api/agent/chat' })).statusCode, 405)
})
