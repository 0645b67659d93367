import type { TSchema } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import { addressFaults } from './address-faults.ts'
import { readSecretFiles } from './secret-files.ts'
import { settingFaults } from './setting-faults.ts'
import { Settings } from './settings.ts'
import { toConfig } from './to-config.ts'
import type { WebhookConfig } from './webhooks.ts'

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
  /** Names of the agents that need the scope `agent:use:<name>`; `*` for all. */
  agentScopes: string[]
}

export interface RateLimitConfig {
  startMax: number
  readMax: number
  /** Per actor, `start` and `read` each; undefined: 20 × the user's. */
  actorMax?: number
  windowSeconds: number
  redisUrl?: string
}

/** The complete configuration of the service, in which the embedded parts have filled in what the environment lacks. */
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
  /** Budgets of tokens by day; undefined when none is set. */
  budget: { user?: number; actor?: number; perRun: number } | undefined
  trustProxy: boolean | number | string[]
  corsOrigins: string[]
  /** The address that callers use, without a slash at its end. Unset: no proxy adds a path in front of the service. */
  publicUrl?: string
  /** How long an idle connection is kept for the next request. */
  keepAliveSeconds: number
  /** Open streams of one user on one instance, and open feeds. */
  streamsPerUser: number
  metricsPort?: number
  /** Where traces go; unset: there are none. */
  otlp?: { endpoint: string; headers?: string }
  /** Who may answer about tool calls: the owner of the run alone, or also tokens with the scope `agent:approve`. */
  approvers: 'owner' | 'scope'
  webhooks: WebhookConfig
  /** Whether the page under /playground is served. */
  playground: boolean
  /** Pause between two reads of the feed; half a second when absent. */
  feedReadMs?: number
  retentionDays: number
  /** Undefined: conversations are kept until they are deleted. */
  conversationRetentionDays: number | undefined
  run: { ttlSeconds: number; maxDurationSeconds: number }
  shutdownTimeoutSeconds: number
  /** Seconds in which only readiness says no, because balancers need time to notice. */
  shutdownDelaySeconds: number
  /** The settings of the worker that this process was given. Those of the embedded worker are all of them. */
  agentEnvironment: Record<string, string>
  /** The embedded signing secret, when it is used. Swagger UI may then open authorised on localhost. */
  embeddedSecret?: string
}

/** The configuration as the environment gives it. Settings that an embedded part can supply may be missing. */
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
    ...settingFaults(converted),
  ]
  if (faults.length > 0) throw new ConfigError(faults)
  return deepFreeze(toConfig(converted, ofTools(environment)))
}

/** A value becomes a number or a flag only when it is plainly one: "80.5" or "0x50" stay text, and so become faults. */
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

function deepFreeze<T extends object>(value: T): T {
  for (const inner of Object.values(value)) if (inner !== null && typeof inner === 'object') deepFreeze(inner)
  return Object.freeze(value)
}
/** Variables that only tools know: the embedded worker is given them too. */
function ofTools(environment: Record<string, string | undefined>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(environment).flatMap(([name, value]) =>
      name.startsWith('AGENT_') && !(name in Settings.properties) && value ? [[name, value]] : [],
    ),
  )
}
