import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { decodeJwt, decodeProtectedHeader, jwtVerify } from 'jose'
import { test } from 'tap'
import { temporaryFolder } from './support/temporary.ts'

const first = 'the first secret and newest of the list'
const second = 'the second secret that is phased out'

function token(args: string[], environment: Record<string, string> = {}) {
  const { status, stdout, stderr } = spawnSync(process.execPath, ['src/bin/token.ts', ...args], {
    encoding: 'utf8',
    env: { PATH: process.env.PATH, ...environment },
    timeout: 30_000,
  })
  return { status, stdout, stderr, token: stdout.trim() }
}

const key = (secret: string) => new TextEncoder().encode(secret)

test('without settings the token is signed with the secret of the data folder, which is made when missing', async (t) => {
  const LOCAL_DATA_DIR = join(await temporaryFolder(t), 'not yet there')
  const made = token(['--sub', 'alice'], { LOCAL_DATA_DIR })
  t.equal(made.stderr, '')
  t.equal(made.status, 0)
  t.match(made.stdout, /^[\w-]+\.[\w-]+\.[\w-]+\n$/, 'a token and nothing else')

  const secret = readFileSync(join(LOCAL_DATA_DIR, 'jwt-secret'), 'utf8').trim()
  const { payload, protectedHeader } = await jwtVerify(made.token, key(secret))
  t.equal(protectedHeader.alg, 'HS256')
  t.strictSame(Object.keys(payload).sort(), ['exp', 'iat', 'scope', 'sub'])
  t.match(payload, { sub: 'alice', scope: 'agent:read agent:write' })
  t.equal(Number(payload.exp) - Number(payload.iat), 3_600)

  const again = token(['--sub', 'bob'], { LOCAL_DATA_DIR })
  await t.resolves(jwtVerify(again.token, key(secret)), 'the secret is kept')
})

test('settings decide about the key, the issuer and the audience, arguments about the rest', async (t) => {
  const made = token(['--sub', 'Zoë of accounts', '--scope', 'agent:read', '--ttl', '90s'], {
    AUTH_JWT_SECRET: `${first}, ${second}`,
    AUTH_ISSUER: 'https://issuer.example',
    AUTH_AUDIENCE: 'agent-chat',
    LOCAL_DATA_DIR: '/nonexistent/so/never/used',
  })
  t.equal(made.stderr, '')
  const { payload } = await jwtVerify(made.token, key(first))
  t.match(payload, {
    sub: 'Zoë of accounts',
    scope: 'agent:read',
    iss: 'https://issuer.example',
    aud: 'agent-chat',
  })
  t.equal(Number(payload.exp) - Number(payload.iat), 90)
  t.equal(decodeProtectedHeader(made.token).alg, 'HS256')
  t.equal(decodeJwt(made.token).sub, 'Zoë of accounts')
})

test('wrong arguments are answered with the usage on stderr and exit code 2', async (t) => {
  for (const [args, complaint] of [
    [[], /--sub is missing/],
    [['--sub', 'a\nb'], /1 to 255 printable/],
    [['--sub', 'alice', '--ttl', '1 year'], /--ttl must be/],
    [['--sub', 'alice', '--act', 'bob'], /--act/],
  ] as const) {
    const { status, stdout, stderr } = token([...args], { AUTH_JWT_SECRET: first })
    t.equal(status, 2, `token ${args.join(' ').slice(0, 40)}`)
    t.equal(stdout, '')
    t.match(stderr, complaint)
    t.match(stderr, 'npm run -s token -- --sub <user>')
  }
})

test('no token is made for production, with foreign keys, or from settings that the service refuses', async (t) => {
  const LOCAL_DATA_DIR = await temporaryFolder(t)
  for (const [environment, complaint] of [
    [{ NODE_ENV: 'production', AUTH_JWT_SECRET: first }, /production/],
    [{ AUTH_JWKS_URL: 'https://issuer.example/keys', AUTH_ISSUER: 'i', AUTH_AUDIENCE: 'a' }, /AUTH_JWKS_URL/],
    [{ AUTH_JWT_SECRET: 'short' }, /at least 32 bytes/],
    [{ LOCAL_DATA_DIR: '/dev/null/x' }, /LOCAL_DATA_DIR/],
  ] as const) {
    const { status, stdout, stderr } = token(['--sub', 'alice'], { LOCAL_DATA_DIR, ...environment })
    t.equal(status, 1)
    t.equal(stdout, '')
    t.match(stderr, complaint)
    t.notMatch(stderr, /^\s+at /m, 'a sentence, not a stack')
  }
})
