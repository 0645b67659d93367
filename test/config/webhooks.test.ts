import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'tap'
import { ConfigError, loadConfig } from '../../src/config/config.ts'
import { WEBHOOK_EVENTS } from '../../src/webhooks/events.ts'
import { secretOf } from '../support/receiver.ts'

const SECRET = secretOf('a')
const ENDPOINT = { name: 'shop', url: 'https://shop.example/hook', secrets: [SECRET] }

function faultsOf(environment: Record<string, string>): string[] {
  try {
    loadConfig(environment)
    return []
  } catch (error) {
    if (error instanceof ConfigError) return error.faults
    throw error
  }
}

const endpoints = (...given: unknown[]) => ({ WEBHOOK_ENDPOINTS: JSON.stringify(given) })

test('endpoints are read from the variable, or from a file because they hold secrets', (t) => {
  t.same(loadConfig({}).webhooks, { endpoints: [], secrets: [], allowedOrigins: [], allowedAddresses: [] })
  const whole = { ...ENDPOINT, events: ['run.failed'], users: ['alice'], contents: true }
  t.same(loadConfig(endpoints(ENDPOINT, { ...whole, name: 'b' })).webhooks.endpoints, [
    { ...ENDPOINT, events: [...WEBHOOK_EVENTS], contents: false },
    { ...whole, name: 'b' },
  ])
  const folder = mkdtempSync(join(tmpdir(), 'webhooks-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const file = join(folder, 'endpoints')
  writeFileSync(file, `${JSON.stringify([ENDPOINT])}\n`)
  t.equal(loadConfig({ WEBHOOK_ENDPOINTS_FILE: file }).webhooks.endpoints[0]?.name, 'shop')
  t.end()
})

test('every fault names the variable and the place, and shows no value', (t) => {
  const cases: Array<[Record<string, string>, RegExp]> = [
    [{ WEBHOOK_ENDPOINTS: '[{' }, /^WEBHOOK_ENDPOINTS: must be a JSON array/],
    [{ WEBHOOK_ENDPOINTS: '{}' }, /^WEBHOOK_ENDPOINTS: the array: expected array/],
    [endpoints({ ...ENDPOINT, name: 'Shop 1' }), /^WEBHOOK_ENDPOINTS: \/0\/name/],
    [endpoints({ ...ENDPOINT, extra: 1 }), /^WEBHOOK_ENDPOINTS: \/0\/extra/],
    [endpoints({ ...ENDPOINT, events: ['run.approved'] }), /^WEBHOOK_ENDPOINTS: \/0\/events/],
    [endpoints({ ...ENDPOINT, secrets: [] }), /^WEBHOOK_ENDPOINTS: \/0\/secrets/],
    [
      endpoints({ ...ENDPOINT, secrets: ['whsec_c2hvcnQ='] }),
      /^WEBHOOK_ENDPOINTS: \/0\/secrets: .* 24 to 64 bytes/,
    ],
    [endpoints({ ...ENDPOINT, url: 'http://shop.example' }), /^WEBHOOK_ENDPOINTS: \/0\/url: .*https/],
    [endpoints({ ...ENDPOINT, url: 'https://me:pass@shop.example' }), /^WEBHOOK_ENDPOINTS: \/0\/url/],
    [endpoints(ENDPOINT, ENDPOINT), /two endpoints have the same name/],
    [{ WEBHOOK_SECRETS: `${SECRET},secret` }, /^WEBHOOK_SECRETS: every secret must be whsec_/],
    [{ WEBHOOK_ALLOWED_ORIGINS: 'https://a.example' }, /^WEBHOOK_SECRETS: is required with/],
    [
      { WEBHOOK_ALLOWED_ORIGINS: 'https://a.example/path', WEBHOOK_SECRETS: SECRET },
      /^WEBHOOK_ALLOWED_ORIGINS/,
    ],
    [{ WEBHOOK_ALLOWED_ORIGINS: '*', WEBHOOK_SECRETS: SECRET }, /^WEBHOOK_ALLOWED_ORIGINS/],
    [{ WEBHOOK_ALLOWED_ADDRESSES: '10.0.0.0/33' }, /^WEBHOOK_ALLOWED_ADDRESSES/],
    [{ WEBHOOK_ALLOWED_ADDRESSES: 'shop.example' }, /^WEBHOOK_ALLOWED_ADDRESSES/],
  ]
  for (const [environment, fault] of cases) {
    const faults = faultsOf(environment)
    t.equal(faults.length, 1, `${fault}`)
    t.match(faults[0], fault)
    t.notMatch(faults[0], /whsec_[A-Za-z0-9]{8}|shop\.example/)
  }
  const plain = {
    ...endpoints({ ...ENDPOINT, url: 'http://10.1.2.3/' }),
    WEBHOOK_ALLOWED_ADDRESSES: '10.0.0.0/8, ::1',
  }
  t.same(faultsOf(plain), [])
  t.end()
})
