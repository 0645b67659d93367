import { agentFaults } from '../agent/settings.ts'
import { isOrigin } from './address-faults.ts'
import { isTrustProxy } from './proxies.ts'
import type { Settings } from './settings.ts'
import { agentEnvironment, list, shutdownDelay } from './values.ts'
import { webhookFaults } from './webhooks.ts'

const SECRET_BYTES = 32

/** Faults that the schema of a single setting cannot express: rules between settings, and lists with a grammar. */
export function settingFaults(settings: Settings): string[] {
  return [
    ...keyFaults(settings),
    ...httpFaults(settings),
    ...webhookFaults(settings),
    ...agentSettingFaults(settings),
    ...processFaults(settings),
  ]
}

/** The source of the keys that verify tokens: docs/api.md#1-who-is-calling. */
function keyFaults(settings: Settings): string[] {
  const { AUTH_JWT_SECRET, AUTH_JWKS_URL } = settings
  const faults: string[] = []
  if (AUTH_JWT_SECRET !== undefined && AUTH_JWKS_URL !== undefined)
    faults.push('AUTH_JWT_SECRET, AUTH_JWKS_URL: set one of them, not both')
  if (list(AUTH_JWT_SECRET).some((secret) => Buffer.byteLength(secret) < SECRET_BYTES))
    faults.push(`AUTH_JWT_SECRET: every secret needs at least ${SECRET_BYTES} bytes`)
  if (AUTH_JWT_SECRET !== undefined && list(AUTH_JWT_SECRET).length === 0)
    faults.push('AUTH_JWT_SECRET: holds no secret')
  if (AUTH_JWKS_URL !== undefined)
    faults.push(...missing(settings, ['AUTH_ISSUER', 'AUTH_AUDIENCE'], 'AUTH_JWKS_URL'))
  if (list(settings.AUTH_SCOPE_CLAIMS).length === 0)
    faults.push('AUTH_SCOPE_CLAIMS: holds no name of a claim')
  return faults
}

function httpFaults({ TRUST_PROXY, CORS_ORIGINS, PUBLIC_URL }: Settings): string[] {
  const faults: string[] = []
  if (!isTrustProxy(TRUST_PROXY))
    faults.push('TRUST_PROXY: must be true, false, a number of hops, or a list of addresses and networks')
  const strange = list(CORS_ORIGINS).flatMap((origin, index) => (isOrigin(origin) ? [] : [index + 1]))
  if (strange.length > 0)
    faults.push(
      `CORS_ORIGINS: no browser sends entry ${strange.join(', ')} as its origin; write * or origins like https://app.example and http://localhost:5173, in lower case, without a wildcard, a path, a slash at the end, or the port of the scheme`,
    )
  if (PUBLIC_URL !== undefined && /[?#]/.test(PUBLIC_URL))
    faults.push('PUBLIC_URL: must not hold a query or a fragment')
  return faults
}

function agentSettingFaults(settings: Settings): string[] {
  // A key whose file cannot be read is one fault, not two.
  const keyFile =
    settings.AGENT_MODEL_API_KEY_FILE === undefined ? {} : { AGENT_MODEL_API_KEY: 'in its file' }
  return agentFaults({ ...keyFile, ...agentEnvironment(settings) })
}

/** How the process runs and ends, and what production requires: docs/api.md#9-settings. */
function processFaults(settings: Settings): string[] {
  const { NODE_ENV, SHUTDOWN_TIMEOUT_SECONDS } = settings
  const faults: string[] = []
  if (shutdownDelay(settings) >= SHUTDOWN_TIMEOUT_SECONDS)
    faults.push('SHUTDOWN_DELAY_SECONDS: must be less than SHUTDOWN_TIMEOUT_SECONDS')
  if (/^prod/i.test(NODE_ENV ?? '') && NODE_ENV !== 'production')
    faults.push('NODE_ENV: production is written "production"; anything else would run on embedded defaults')
  if (NODE_ENV !== 'production') return faults
  faults.push(...missing(settings, ['DATABASE_URL', 'TRIGGER_SECRET_KEY'], 'NODE_ENV=production'))
  if (isMissing(settings, 'AUTH_JWT_SECRET') && isMissing(settings, 'AUTH_JWKS_URL'))
    faults.push('AUTH_JWT_SECRET or AUTH_JWKS_URL: one is required with NODE_ENV=production')
  return faults
}

function missing(settings: Settings, names: (keyof Settings)[], condition: string): string[] {
  return names
    .filter((name) => isMissing(settings, name))
    .map((name) => `${name}: is required with ${condition}`)
}

/** A secret file that cannot be read is a fault of its own, so its setting does not count as missing. */
function isMissing(settings: Settings, name: keyof Settings): boolean {
  return settings[name] === undefined && settings[`${name}_FILE` as keyof Settings] === undefined
}
