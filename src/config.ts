import { isIP } from 'node:net'
import type { TSchema } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import { addressFaults, isOrigin } from './address-faults.ts'
import { plainHttpSettings } from './plain-http.ts'
import { readSecretFiles } from './secret-files.ts'
import { Settings } from './settings.ts'

/** HS256 with rotating secrets, or a key set; exactly one. */
export type KeySource = { kind: 'secrets'; secrets: string[] } | { kind: 'jwks'; url: string }

export interface AuthConfig {
  keys: KeySource
  issuer?: string
  audience?: string
  /** Bad tokens per address and minute before 429. */
  failureMax: number
  /** The claims that hold scopes. */
  scopeClaims: string[]
}

export interface RateLimitConfig {
  startMax: number
  readMax: number
  /** Per actor, `start` and `read` each; undefined: 20 × the user's. */
  actorMax?: number
  windowSeconds: number
  redisUrl?: string
}

/** Everything that the application needs, complete: embedded defaults have been filled in. */
export interface AppConfig {
  production: boolean
  host: string
  port: number
  logLevel: string
  logContent: boolean
  database: { url: string; poolMax: number }
  trigger: {
    secretKey: string
    apiUrl: string
    largePayloads: boolean
    callsPerMinute: number
    listLagMs: number
  }
  auth: AuthConfig
  rateLimit: RateLimitConfig
  trustProxy: boolean | number | string[]
  corsOrigins: string[]
  /** The address that callers use, without a slash at its end. Unset: they reach the service without a path of a proxy's. */
  publicUrl?: string
  /** How long an idle connection is kept for the next request. */
  keepAliveSeconds: number
  metricsPort?: number
  /** Where traces go; unset: there are none. */
  otlp?: { endpoint: string; headers?: string }
  retentionDays: number
  /** Undefined: conversations are kept until they are deleted. */
  conversationRetentionDays: number | undefined
  run: { ttlSeconds: number; maxDurationSeconds: number }
  shutdownTimeoutSeconds: number
  /** Readiness says no this long before anything else ends: balancers need time to notice. */
  shutdownDelaySeconds: number
  /** Present when the signing secret is the embedded one: Swagger UI may then open authorised on localhost. */
  embeddedSecret?: string
}

/** The environment parsed; what may be supplied by an embedded default can be missing. */
export interface Config extends Omit<AppConfig, 'database' | 'trigger' | 'auth' | 'embeddedSecret'> {
  database: { url?: string; poolMax: number }
  trigger: {
    secretKey?: string
    apiUrl: string
    largePayloads: boolean
    callsPerMinute: number
    listLagMs: number
  }
  auth: Omit<AuthConfig, 'keys'> & { keys?: KeySource }
  /** Settings in production whose address is plain `http:` beyond this machine; the start warns of them. */
  plainHttp: string[]
  localDataDir: string
  /** What the local engine's workers get of the environment. */
  agentEnvironment: Record<string, string>
}

/** Names every faulty variable at once; never shows a value. */
export class ConfigError extends Error {
  readonly faults: string[]
  constructor(faults: string[]) {
    super(`The environment is not usable:\n${faults.map((fault) => `  ${fault}`).join('\n')}`)
    this.name = 'ConfigError'
    this.faults = faults
  }
}

const SECRET_BYTES = 32

/**
 * Parses the environment into one frozen object. An empty variable counts as unset.
 * @throws ConfigError that lists every fault with the variable's name
 */
export function loadConfig(variables: Record<string, string | undefined>): Config {
  const { environment, faults: fileFaults } = readSecretFiles(variables)
  const given = Object.fromEntries(
    Object.entries(Settings.properties)
      .map(([name, schema]) => [name, read(environment[name]?.trim(), schema)] as const)
      .filter(([, value]) => value !== undefined && value !== ''),
  )
  const converted = Value.Default(Settings, given) as Settings
  const faults = [
    ...fileFaults,
    ...schemaFaults(converted),
    ...addressFaults(converted),
    ...relationFaults(converted),
  ]
  if (faults.length > 0) throw new ConfigError(faults)
  return deepFreeze(toConfig(converted))
}

/** Only what is plainly a number or a flag becomes one: "80.5" or "0x50" stay text, and so a fault. */
function read(text: string | undefined, { type }: TSchema): unknown {
  if (text === undefined) return undefined
  if (type === 'integer' && /^-?\d+$/.test(text)) return Number(text)
  if (type === 'boolean') return { true: true, '1': true, false: false, '0': false }[text] ?? text
  return text
}

function schemaFaults(settings: Settings): string[] {
  const seen = new Map<string, string>()
  for (const { path, message, schema } of Value.Errors(Settings, settings)) {
    const name = path.slice(1).split('/')[0] ?? ''
    const choices = Array.isArray(schema.anyOf)
      ? `must be one of ${schema.anyOf.map((one: { const: string }) => one.const).join(', ')}`
      : undefined
    if (!seen.has(name)) seen.set(name, `${name}: ${choices ?? message.toLowerCase()}`)
  }
  return [...seen.values()]
}

/** Rules between variables: contract §1 (keys) and §9 (production). */
function relationFaults(settings: Settings): string[] {
  const faults: string[] = []
  // A file that could not be read is a fault of its own.
  const isMissing = (name: keyof Settings) =>
    settings[name] === undefined && settings[`${name}_FILE` as keyof Settings] === undefined
  const need = (name: keyof Settings, why: string) => {
    if (isMissing(name)) faults.push(`${name}: ${why}`)
  }
  if (settings.AUTH_JWT_SECRET !== undefined && settings.AUTH_JWKS_URL !== undefined) {
    faults.push('AUTH_JWT_SECRET, AUTH_JWKS_URL: set one of them, not both')
  }
  if (list(settings.AUTH_JWT_SECRET).some((secret) => Buffer.byteLength(secret) < SECRET_BYTES)) {
    faults.push(`AUTH_JWT_SECRET: every secret needs at least ${SECRET_BYTES} bytes`)
  }
  if (settings.AUTH_JWT_SECRET !== undefined && list(settings.AUTH_JWT_SECRET).length === 0) {
    faults.push('AUTH_JWT_SECRET: holds no secret')
  }
  if (settings.AUTH_JWKS_URL !== undefined) {
    need('AUTH_ISSUER', 'is required with AUTH_JWKS_URL')
    need('AUTH_AUDIENCE', 'is required with AUTH_JWKS_URL')
  }
  if (shutdownDelay(settings) >= settings.SHUTDOWN_TIMEOUT_SECONDS) {
    faults.push('SHUTDOWN_DELAY_SECONDS: must be less than SHUTDOWN_TIMEOUT_SECONDS')
  }
  if (!isTrustProxy(settings.TRUST_PROXY)) {
    faults.push('TRUST_PROXY: must be true, false, a number of hops, or a list of addresses and networks')
  }
  const strange = list(settings.CORS_ORIGINS).flatMap((origin, index) =>
    isOrigin(origin) ? [] : [index + 1],
  )
  if (strange.length > 0) {
    faults.push(
      `CORS_ORIGINS: no browser sends entry ${strange.join(', ')} as its origin; write * or origins like https://app.example and http://localhost:5173, in lower case, without a wildcard, a path, a slash at the end, or the port of the scheme`,
    )
  }
  if (settings.PUBLIC_URL !== undefined && /[?#]/.test(settings.PUBLIC_URL)) {
    faults.push('PUBLIC_URL: must not hold a query or a fragment')
  }
  if (list(settings.AUTH_SCOPE_CLAIMS).length === 0) {
    faults.push('AUTH_SCOPE_CLAIMS: holds no name of a claim')
  }
  if (settings.AGENT_MODEL !== undefined && settings.AGENT_MODEL_BASE_URL === undefined) {
    need('AGENT_MODEL_API_KEY', 'is required with AGENT_MODEL, unless AGENT_MODEL_BASE_URL needs none')
  }
  if (/^prod/i.test(settings.NODE_ENV ?? '') && settings.NODE_ENV !== 'production') {
    faults.push('NODE_ENV: production is written "production"; anything else would run on embedded defaults')
  }
  if (settings.NODE_ENV === 'production') {
    need('DATABASE_URL', 'is required with NODE_ENV=production')
    need('TRIGGER_SECRET_KEY', 'is required with NODE_ENV=production')
    if (isMissing('AUTH_JWT_SECRET') && isMissing('AUTH_JWKS_URL')) {
      faults.push('AUTH_JWT_SECRET or AUTH_JWKS_URL: one is required with NODE_ENV=production')
    }
  }
  return faults
}

function toConfig(settings: Settings): Config {
  return {
    production: settings.NODE_ENV === 'production',
    host: settings.HOST,
    port: settings.PORT,
    logLevel: settings.LOG_LEVEL,
    logContent: settings.LOG_CONTENT,
    database: { ...given('url', settings.DATABASE_URL), poolMax: settings.DATABASE_POOL_MAX },
    trigger: {
      ...given('secretKey', settings.TRIGGER_SECRET_KEY),
      apiUrl: settings.TRIGGER_API_URL,
      largePayloads: settings.TRIGGER_LARGE_PAYLOADS,
      callsPerMinute: settings.TRIGGER_CALLS_PER_MINUTE,
      listLagMs: settings.TRIGGER_LIST_LAG_MS,
    },
    auth: {
      ...given('keys', keySource(settings)),
      ...given('issuer', settings.AUTH_ISSUER),
      ...given('audience', settings.AUTH_AUDIENCE),
      failureMax: settings.AUTH_FAILURE_MAX,
      scopeClaims: list(settings.AUTH_SCOPE_CLAIMS),
    },
    rateLimit: {
      startMax: settings.RATE_LIMIT_START_MAX,
      readMax: settings.RATE_LIMIT_READ_MAX,
      ...given('actorMax', settings.RATE_LIMIT_ACTOR_MAX),
      windowSeconds: settings.RATE_LIMIT_WINDOW_SECONDS,
      ...given('redisUrl', settings.REDIS_URL),
    },
    trustProxy: trustProxy(settings.TRUST_PROXY),
    corsOrigins: list(settings.CORS_ORIGINS),
    ...given('publicUrl', settings.PUBLIC_URL?.replace(/\/+$/, '')),
    keepAliveSeconds: settings.KEEP_ALIVE_SECONDS,
    ...given('metricsPort', settings.METRICS_PORT),
    ...given('otlp', collector(settings)),
    retentionDays: settings.RETENTION_DAYS,
    conversationRetentionDays: settings.CONVERSATION_RETENTION_DAYS,
    run: { ttlSeconds: settings.RUN_TTL_SECONDS, maxDurationSeconds: settings.RUN_MAX_DURATION_SECONDS },
    shutdownTimeoutSeconds: settings.SHUTDOWN_TIMEOUT_SECONDS,
    shutdownDelaySeconds: shutdownDelay(settings),
    localDataDir: settings.LOCAL_DATA_DIR,
    plainHttp: settings.NODE_ENV === 'production' ? plainHttpSettings(settings) : [],
    agentEnvironment: {
      ...given('AGENT_MODEL', settings.AGENT_MODEL),
      ...given('AGENT_MODEL_API_KEY', settings.AGENT_MODEL_API_KEY),
      ...given('AGENT_MODEL_BASE_URL', settings.AGENT_MODEL_BASE_URL),
      AGENT_OFFLINE_WORD_MS: String(settings.AGENT_OFFLINE_WORD_MS),
      ...given('AGENT_OTEL_EXPORTER_OTLP_ENDPOINT', settings.OTEL_EXPORTER_OTLP_ENDPOINT),
      ...given('AGENT_OTEL_EXPORTER_OTLP_HEADERS', settings.OTEL_EXPORTER_OTLP_HEADERS),
    },
  }
}

/** A laptop's Ctrl-C does not wait; in production there is somebody to notice. */
function shutdownDelay({ SHUTDOWN_DELAY_SECONDS, SHUTDOWN_TIMEOUT_SECONDS, NODE_ENV }: Settings): number {
  if (SHUTDOWN_DELAY_SECONDS !== undefined) return SHUTDOWN_DELAY_SECONDS
  return NODE_ENV === 'production' ? Math.min(5, Math.floor(SHUTDOWN_TIMEOUT_SECONDS / 5)) : 0
}

function collector({ OTEL_EXPORTER_OTLP_ENDPOINT: endpoint, OTEL_EXPORTER_OTLP_HEADERS: headers }: Settings) {
  return endpoint === undefined ? undefined : { endpoint, ...given('headers', headers) }
}

function keySource(settings: Settings): KeySource | undefined {
  if (settings.AUTH_JWKS_URL !== undefined) return { kind: 'jwks', url: settings.AUTH_JWKS_URL }
  if (settings.AUTH_JWT_SECRET === undefined) return undefined
  return { kind: 'secrets', secrets: list(settings.AUTH_JWT_SECRET) }
}

function isTrustProxy(value: string | undefined): boolean {
  return [trustProxy(value)].flat().every((item) => typeof item !== 'string' || isNetwork(item))
}

/** An address, a network such as 10.0.0.0/8, or one of the names that stand for several. */
function isNetwork(value: string): boolean {
  if (['loopback', 'linklocal', 'uniquelocal'].includes(value)) return true
  const [address = '', prefix, ...rest] = value.split('/')
  const bits = { 0: -1, 4: 32, 6: 128 }[isIP(address)] ?? -1
  return (
    bits > 0 &&
    rest.length === 0 &&
    (prefix === undefined || (/^\d+$/.test(prefix) && Number(prefix) <= bits))
  )
}

function trustProxy(value: string | undefined): boolean | number | string[] {
  if (value === undefined || value === 'false') return false
  if (value === 'true') return true
  return /^\d+$/.test(value) ? Number(value) : list(value)
}

function list(value: string | undefined): string[] {
  return (value ?? '')
    .split(',')
    .map((item) => item.trim())
    .filter((item) => item !== '')
}

/** `exactOptionalPropertyTypes`: an unset variable is an absent property. */
function given<Name extends string, Value>(name: Name, value: Value | undefined) {
  return (value === undefined ? {} : { [name]: value }) as { [key in Name]?: Value }
}

function deepFreeze<T extends object>(value: T): T {
  for (const inner of Object.values(value)) if (inner !== null && typeof inner === 'object') deepFreeze(inner)
  return Object.freeze(value)
}
