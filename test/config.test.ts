import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'tap'
import { ConfigError, loadConfig } from '../src/config/config.ts'
import { SECRETS } from '../src/config/secret-files.ts'
import { startProcess } from './support/process.ts'

const SECRET = 'x'.repeat(32)
const PRODUCTION = {
  NODE_ENV: 'production',
  DATABASE_URL: 'postgres://db/agent',
  TRIGGER_SECRET_KEY: 'tr_prod_1',
  AUTH_JWT_SECRET: SECRET,
}

function faultsOf(environment: Record<string, string>): string[] {
  try {
    loadConfig(environment)
    return []
  } catch (error) {
    if (error instanceof ConfigError) return error.faults
    throw error
  }
}

test('an empty environment has a default for everything that can have one', async (t) => {
  const config = loadConfig({})
  t.match(config, {
    production: false,
    host: '127.0.0.1',
    port: 3000,
    logLevel: 'info',
    trigger: { apiUrl: 'https://api.trigger.dev', largePayloads: false },
    auth: { failureMax: 100 },
    rateLimit: { startMax: 30, readMax: 600, windowSeconds: 60 },
    trustProxy: false,
    corsOrigins: [],
    retentionDays: 30,
    run: { ttlSeconds: 3600, maxDurationSeconds: 300 },
    localDataDir: '.data',
  })
  for (const absent of ['metricsPort', 'otlp']) t.notOk(absent in config, absent)
  t.notOk('url' in config.database)
  t.notOk('keys' in config.auth)
  t.ok(Object.isFrozen(config) && Object.isFrozen(config.run))
  t.same(loadConfig({ PORT: '', HOST: ' ', UNKNOWN: '1' }), config, 'empty is unset, unknown is no business')
})

test('every setting is read with its type', async (t) => {
  const config = loadConfig({
    PORT: '0',
    TRIGGER_LARGE_PAYLOADS: 'true',
    AUTH_JWT_SECRET: ` ${SECRET} , ${'y'.repeat(40)},`,
    CORS_ORIGINS: 'https://a.example, https://b.example',
    RATE_LIMIT_ACTOR_MAX: '7',
    METRICS_PORT: '9464',
  })
  t.match(config, {
    port: 0,
    trigger: { largePayloads: true },
    auth: { keys: { kind: 'secrets', secrets: [SECRET, 'y'.repeat(40)] } },
    corsOrigins: ['https://a.example', 'https://b.example'],
    rateLimit: { actorMax: 7 },
    metricsPort: 9464,
  })
  const jwks = loadConfig({
    AUTH_JWKS_URL: 'https://issuer.example/jwks',
    AUTH_ISSUER: 'https://issuer.example',
    AUTH_AUDIENCE: 'agents',
  })
  t.match(jwks.auth, { keys: { kind: 'jwks', url: 'https://issuer.example/jwks' }, audience: 'agents' })
})

test('proxies are trusted by number, by address, or all', async (t) => {
  for (const [value, parsed] of [
    ['true', true],
    ['false', false],
    ['2', 2],
    ['10.0.0.0/8, ::1', ['10.0.0.0/8', '::1']],
    ['loopback,uniquelocal', ['loopback', 'uniquelocal']],
  ] as const) {
    t.same(loadConfig({ TRUST_PROXY: value }).trustProxy, parsed, value)
  }
  for (const value of ['yes', '10.0.0.0/99', '10.0.0.0/8, nonsense', '-1']) {
    t.match(faultsOf({ TRUST_PROXY: value }), [/^TRUST_PROXY: /], value)
  }
})

test('every fault is named at once, and no value is shown', async (t) => {
  const faults = faultsOf({
    PORT: '70000',
    LOG_LEVEL: 'loud',
    DATABASE_URL: 'mysql://user:hunter2@db/agent',
    RATE_LIMIT_START_MAX: 'many',
    TRIGGER_LARGE_PAYLOADS: 'perhaps',
    AUTH_JWT_SECRET: 'hunter2',
    AUTH_JWKS_URL: 'https://issuer.example/jwks',
    CORS_ORIGINS: 'https://app.example/, app.example',
  })
  const names = faults.map((fault) => fault.split(':')[0])
  t.same(
    names.sort(),
    [
      'PORT',
      'LOG_LEVEL',
      'DATABASE_URL',
      'RATE_LIMIT_START_MAX',
      'TRIGGER_LARGE_PAYLOADS',
      'AUTH_JWT_SECRET, AUTH_JWKS_URL',
      'AUTH_JWT_SECRET',
      'AUTH_ISSUER',
      'AUTH_AUDIENCE',
      'CORS_ORIGINS',
    ].sort(),
  )
  t.notMatch(faults.join(), /hunter2/)
  t.match(
    faults.find((fault) => fault.startsWith('LOG_LEVEL')),
    /must be one of fatal, error, warn, info/,
  )
})

test('an address that no program could dial is a fault in plain words', async (t) => {
  for (const [name, beginnings, values] of [
    [
      'DATABASE_URL',
      'postgres:// or postgresql://',
      ['postgres://u:p@h:99999/x', 'mysql://h/x', 'postgres:x'],
    ],
    ['REDIS_URL', 'redis:// or rediss://', ['redis://h:99999', 'h:6379', 'redis://a b']],
    ['TRIGGER_API_URL', 'https:// or http://', ['http://[', 'http://', 'api.trigger.dev', 'https://a b']],
    ['OTEL_EXPORTER_OTLP_ENDPOINT', 'https:// or http://', ['http://x:99999', 'grpc://x']],
    ['AGENT_MODEL_BASE_URL', 'https:// or http://', ['http://x:99999']],
  ] as const) {
    const fault = `${name}: must be a well-formed address that begins with ${beginnings}`
    for (const value of values) t.same(faultsOf({ [name]: value }), [fault], value)
  }
  t.match(faultsOf({ AUTH_JWKS_URL: 'http://x:99999', AUTH_ISSUER: 'i', AUTH_AUDIENCE: 'a' }), [
    /^AUTH_JWKS_URL: must be a well-formed address/,
  ])
  for (const DATABASE_URL of [
    'postgres:///agent?host=/var/run/postgresql',
    'postgresql://agent:p%40ss@[::1]:5432/agent?sslmode=require',
  ]) {
    t.same(faultsOf({ DATABASE_URL }), [], DATABASE_URL)
  }
  t.same(faultsOf({ REDIS_URL: 'rediss://:secret@cache:6380/1' }), [])
})

test('an address that fetch or a driver would refuse is a fault too', async (t) => {
  for (const [name, values, why] of [
    [
      'REDIS_URL',
      ['redis://:p%@cache:6379', 'redis://u%zz:p@cache'],
      /^REDIS_URL: holds a % that begins no escape/,
    ],
    ['DATABASE_URL', ['postgres://u:100%@db/agent', 'postgres://u:p@db/a%zz'], /^DATABASE_URL: holds a %/],
    [
      'REDIS_URL',
      ['redis://cache:6379/main', 'redis://cache/0/1'],
      /^REDIS_URL: must end with the number of a database/,
    ],
    [
      'TRIGGER_API_URL',
      ['https://u:p@api.trigger.dev'],
      /^TRIGGER_API_URL: must not hold a user or a password/,
    ],
    ['OTEL_EXPORTER_OTLP_ENDPOINT', ['http://u@collector:4318'], /must not hold a user/],
    ['AGENT_MODEL_BASE_URL', ['https://:key@models.example/v1'], /must not hold a user/],
    ['PUBLIC_URL', ['https://u:p@app.example'], /must not hold a user/],
    [
      'PUBLIC_URL',
      ['https://app.example/?x', 'https://app.example/#x'],
      /must not hold a query or a fragment/,
    ],
    ['PUBLIC_URL', ['app.example/agents', '/agents'], /must be a well-formed address/],
  ] as const) {
    for (const value of values) t.match(faultsOf({ [name]: value }), [why], value)
  }
  for (const REDIS_URL of ['redis://:p%25@cache:6379/2', 'rediss://cache', 'redis://[::1]:6379/'])
    t.same(faultsOf({ REDIS_URL }), [], REDIS_URL)
  t.equal(loadConfig({ PUBLIC_URL: 'https://app.example/agents/' }).publicUrl, 'https://app.example/agents')
})

test('an origin that no browser sends is a fault, and the entry is named', async (t) => {
  for (const origin of [
    'https://*.example.com',
    'https://App.example',
    'HTTPS://app.example',
    'https://app.example/',
    'https://app.example/path',
    'https://app.example:443',
    'http://app.example:80',
    'https://u@app.example',
    'https://app.example?x',
    'https://bücher.example',
    'https://127.1',
    'app.example',
    'app.example:3000',
    '//app.example',
    'null',
    'capacitor://',
    'capacitor://Localhost',
  ]) {
    t.match(
      faultsOf({ CORS_ORIGINS: `https://fine.example, ${origin}` }),
      [/^CORS_ORIGINS: .* entry 2 /],
      origin,
    )
  }
  const fine = [
    '*',
    'https://app.example',
    'http://localhost:5173',
    'http://[::1]:3000',
    'https://xn--bcher-kva.example',
    'capacitor://localhost',
    'chrome-extension://abcdefghijklmnop',
  ]
  t.same(loadConfig({ CORS_ORIGINS: fine.join(',') }).corsOrigins, fine)
})

test('the claims that hold scopes are a setting', async (t) => {
  t.same(loadConfig({}).auth.scopeClaims, ['scope', 'scopes', 'scp', 'permissions'])
  t.same(loadConfig({ AUTH_SCOPE_CLAIMS: 'scp, https://a.example/s' }).auth.scopeClaims, [
    'scp',
    'https://a.example/s',
  ])
  t.match(faultsOf({ AUTH_SCOPE_CLAIMS: ' , ' }), [/^AUTH_SCOPE_CLAIMS: holds no name/])
})

test('budgets are off until one of them is set', async (t) => {
  t.equal(loadConfig({}).budget, undefined)
  t.equal(loadConfig({ BUDGET_TOKENS_PER_RUN: '100' }).budget, undefined)
  t.same(loadConfig({ BUDGET_TOKENS_PER_USER_DAY: '1000000' }).budget, { user: 1_000_000, perRun: 50_000 })
  t.same(loadConfig({ BUDGET_TOKENS_PER_ACTOR_DAY: '9', BUDGET_TOKENS_PER_RUN: '7' }).budget, {
    actor: 9,
    perRun: 7,
  })
})

test('a number outside of its bounds is a fault', async (t) => {
  for (const [name, values] of Object.entries({
    PORT: ['-1', '65536', '80.5', 'http', '0x50', 'Infinity'],
    RATE_LIMIT_WINDOW_SECONDS: ['0', '86401'],
    RETENTION_DAYS: ['0'],
    BUDGET_TOKENS_PER_USER_DAY: ['0', '-1', '1.5'],
    BUDGET_TOKENS_PER_RUN: ['0'],
    SHUTDOWN_TIMEOUT_SECONDS: ['0', '1e9'],
  })) {
    for (const value of values)
      t.match(faultsOf({ [name]: value }), [new RegExp(`^${name}: `)], `${name}=${value}`)
  }
})

test('secrets have at least 32 bytes each', async (t) => {
  t.same(faultsOf({ AUTH_JWT_SECRET: 'ä'.repeat(16) }), [])
  t.match(faultsOf({ AUTH_JWT_SECRET: `${SECRET},short` }), [
    /AUTH_JWT_SECRET: every secret needs at least 32 bytes/,
  ])
  t.match(faultsOf({ AUTH_JWT_SECRET: ' , ' }), [/AUTH_JWT_SECRET: holds no secret/])
})

test('production has no embedded defaults: each missing setting is a fault', async (t) => {
  t.same(faultsOf(PRODUCTION), [])
  t.equal(loadConfig(PRODUCTION).production, true)
  t.same(faultsOf({ NODE_ENV: 'production' }), [
    'DATABASE_URL: is required with NODE_ENV=production',
    'TRIGGER_SECRET_KEY: is required with NODE_ENV=production',
    'AUTH_JWT_SECRET or AUTH_JWKS_URL: one is required with NODE_ENV=production',
  ])
  t.same(faultsOf({ NODE_ENV: 'test' }), [])
  for (const NODE_ENV of ['Production', 'PRODUCTION', 'prod']) {
    t.match(
      faultsOf({ ...PRODUCTION, NODE_ENV }),
      [/^NODE_ENV: production is written "production"/],
      NODE_ENV,
    )
  }
})

test("a model needs a key, unless a server of one's own is named", async (t) => {
  t.match(faultsOf({ AGENT_MODEL: 'm' }), [/^AGENT_MODEL_API_KEY: is required with AGENT_MODEL/])
  t.same(faultsOf({ AGENT_MODEL: 'm', AGENT_MODEL_API_KEY: 'k' }), [])
  t.same(faultsOf({ AGENT_MODEL: 'm', AGENT_MODEL_BASE_URL: 'http://localhost:8000/v1' }), [])
  const AGENT_MODEL = 'anthropic:claude'
  t.same(faultsOf({ AGENT_MODEL, AGENT_MODEL_API_KEY: 'k', AGENT_MODEL_FALLBACK: 'openai:gpt' }), [
    'AGENT_OPENAI_API_KEY: is required for a model of this provider in AGENT_MODEL_FALLBACK',
  ])
})

test('the settings of the agent are those that its worker reads', async (t) => {
  t.match(faultsOf({ AGENT_MAX_STEPS: '0', AGENT_TEMPERATURE: 'warm', AGENT_MODEL_OPTIONS: '[]' }), [
    /^AGENT_TEMPERATURE: must be a number from 0 to 2/,
    /^AGENT_MODEL_OPTIONS: must be a JSON object/,
    /^AGENT_MAX_STEPS: must be a whole number from 1 to 100/,
  ])
  t.match(faultsOf({ AGENT_HTTP_ALLOWED_ORIGINS: 'https://u:secret@a.example/x' }), [
    /^AGENT_HTTP_ALLOWED_ORIGINS: must be a list like https:\/\/api\.example\.com \(no path, no slash\)$/,
  ])
  const read = Object.keys(loadConfig({}).agentEnvironment)
  t.ok(read.every((name) => name.startsWith('AGENT_')))
  t.match(loadConfig({ AGENT_REASONING_EFFORT: 'low' }).agentEnvironment, { AGENT_REASONING_EFFORT: 'low' })
})

test('the worker reads the variables of tools too, and none of another name', async (t) => {
  const own = { AGENT_ORDERS_URL: 'http://orders.example', AGENT_BLANK: '', OTHER: 'x' }
  const { AGENT_ORDERS_URL, AGENT_BLANK, OTHER } = loadConfig(own).agentEnvironment
  t.same([AGENT_ORDERS_URL, AGENT_BLANK, OTHER], [own.AGENT_ORDERS_URL, undefined, undefined])
})

test('every secret may come from a file, which is a fault when it cannot be read or names the secret twice', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'secrets-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const file = (name: string, content: string) => {
    writeFileSync(join(folder, name), content)
    return join(folder, name)
  }
  const values: Record<string, string> = {
    DATABASE_URL: 'postgres://db/agent',
    TRIGGER_SECRET_KEY: 'tr_prod_1',
    AUTH_JWT_SECRET: SECRET,
    REDIS_URL: 'redis://cache:6379',
    OTEL_EXPORTER_OTLP_HEADERS: 'x-key=1',
    AGENT_MODEL_API_KEY: 'sk-1',
    AGENT_MCP_SERVERS: '[]',
    WEBHOOK_ENDPOINTS: '[]',
    WEBHOOK_SECRETS: `whsec_${Buffer.alloc(32).toString('base64')}`,
  }
  t.strictSame(SECRETS.toSorted(), Object.keys(values).toSorted())
  const shared = {
    NODE_ENV: 'production',
    AGENT_MODEL: 'some-model',
    OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:4318',
  }
  const files = Object.entries(values).map(([name, value]) => [`${name}_FILE`, file(name, `${value}\n`)])
  t.same(loadConfig({ ...shared, ...Object.fromEntries(files) }), loadConfig({ ...shared, ...values }))

  for (const [name, value] of Object.entries(values)) {
    const rest = { ...shared, ...values, [name]: '' }
    const both = { ...shared, ...values, [`${name}_FILE`]: join(folder, name) }
    t.same(faultsOf(both), [`${name}, ${name}_FILE: set one of them, not both`])
    for (const [path, why] of [
      [join(folder, 'none'), 'the file cannot be read (ENOENT)'],
      [folder, 'the file cannot be read (EISDIR)'],
      [file('blank', ' \n'), 'the file is empty'],
    ] as const)
      t.same(faultsOf({ ...rest, [`${name}_FILE`]: path }), [`${name}_FILE: ${why}`], value)
  }
  const short = faultsOf({
    ...PRODUCTION,
    AUTH_JWT_SECRET: '',
    AUTH_JWT_SECRET_FILE: file('short', 'hunter2'),
  })
  t.same(
    short,
    ['AUTH_JWT_SECRET: every secret needs at least 32 bytes'],
    'a value is judged wherever it comes from',
  )
})

test('in production the start warns of plain http addresses beyond this machine', async (t) => {
  const warned = (environment: Record<string, string>) =>
    loadConfig({ ...PRODUCTION, ...environment }).plainHttp
  t.same(warned({}), [])
  for (const host of ['trigger:3030', '10.0.0.1', 'localhost.example', '127.0.0.1.example', '[fd00::1]'])
    t.same(warned({ TRIGGER_API_URL: `http://${host}` }), ['TRIGGER_API_URL'], host)
  for (const host of ['localhost:3040', '127.0.0.1:3040', '127.1.2.3', '[::1]:3040', 'engine.localhost'])
    t.same(warned({ TRIGGER_API_URL: `http://${host}` }), [], host)
  t.same(warned({ TRIGGER_API_URL: 'https://trigger.example' }), [])
  const keys = { AUTH_JWT_SECRET: '', AUTH_ISSUER: 'i', AUTH_AUDIENCE: 'a' }
  t.same(
    warned({
      ...keys,
      AUTH_JWKS_URL: 'http://login.example/jwks',
      OTEL_EXPORTER_OTLP_ENDPOINT: 'http://collector:4318',
      AGENT_MODEL_BASE_URL: 'http://models.example/v1',
    }),
    ['AUTH_JWKS_URL', 'OTEL_EXPORTER_OTLP_ENDPOINT', 'AGENT_MODEL_BASE_URL'],
  )
  t.same(loadConfig({ TRIGGER_API_URL: 'http://trigger:3030' }).plainHttp, [], 'development is left in peace')
})

test('the warning of plain http is a line of the log', async (t) => {
  const { ended, output } = startProcess(t, [process.execPath, 'src/bin/server.ts'], {
    environment: {
      ...PRODUCTION,
      PORT: '0',
      METRICS_PORT: '65535',
      HOST: 'an address that no machine has',
      TRIGGER_API_URL: 'http://trigger:3030',
      SHUTDOWN_TIMEOUT_SECONDS: '5',
    },
  })
  t.equal((await ended).code, 1)
  t.match(output(), /"level":40.*"setting":"TRIGGER_API_URL".*plain http/)
})

test('a faulty environment ends the process with code 1 and says why', async (t) => {
  const { status, stdout, stderr } = spawnSync(process.execPath, ['src/bin/server.ts'], {
    env: { PATH: process.env.PATH, NODE_ENV: 'production', PORT: 'x' },
    encoding: 'utf8',
    timeout: 30_000,
  })
  t.equal(status, 1)
  t.match(stdout + stderr, /PORT: [\s\S]*DATABASE_URL: is required/)
  t.notMatch(stdout + stderr, /at loadConfig/, 'a message, no stack')
})
