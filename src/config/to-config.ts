import type { Config, KeySource } from './config.ts'
import { plainHttpSettings } from './plain-http.ts'
import { trustProxy } from './proxies.ts'
import type { Settings } from './settings.ts'
import { agentEnvironment, list, shutdownDelay } from './values.ts'
import { webhookConfig } from './webhooks.ts'

/**
 * Makes the configuration of settings that have no fault.
 * @param toolEnvironment variables of the embedded worker that are no settings
 */
export function toConfig(settings: Settings, toolEnvironment: Record<string, string>): Config {
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
      agentScopes: list(settings.AUTH_AGENT_SCOPES),
    },
    rateLimit: {
      startMax: settings.RATE_LIMIT_START_MAX,
      readMax: settings.RATE_LIMIT_READ_MAX,
      ...given('actorMax', settings.RATE_LIMIT_ACTOR_MAX),
      windowSeconds: settings.RATE_LIMIT_WINDOW_SECONDS,
      ...given('redisUrl', settings.REDIS_URL),
    },
    budget: budget(settings),
    trustProxy: trustProxy(settings.TRUST_PROXY),
    corsOrigins: list(settings.CORS_ORIGINS),
    ...given('publicUrl', settings.PUBLIC_URL?.replace(/\/+$/, '')),
    keepAliveSeconds: settings.KEEP_ALIVE_SECONDS,
    streamsPerUser: settings.STREAMS_PER_USER_MAX,
    ...given('metricsPort', settings.METRICS_PORT),
    ...given('otlp', collector(settings)),
    approvers: settings.APPROVERS,
    webhooks: webhookConfig(settings),
    playground: settings.PLAYGROUND ?? settings.NODE_ENV !== 'production',
    retentionDays: settings.RETENTION_DAYS,
    conversationRetentionDays: settings.CONVERSATION_RETENTION_DAYS,
    run: { ttlSeconds: settings.RUN_TTL_SECONDS, maxDurationSeconds: settings.RUN_MAX_DURATION_SECONDS },
    shutdownTimeoutSeconds: settings.SHUTDOWN_TIMEOUT_SECONDS,
    shutdownDelaySeconds: shutdownDelay(settings),
    localDataDir: settings.LOCAL_DATA_DIR,
    plainHttp: settings.NODE_ENV === 'production' ? plainHttpSettings(settings) : [],
    agentEnvironment: {
      ...toolEnvironment,
      ...agentEnvironment(settings),
      ...given('AGENT_OTEL_EXPORTER_OTLP_ENDPOINT', settings.OTEL_EXPORTER_OTLP_ENDPOINT),
      ...given('AGENT_OTEL_EXPORTER_OTLP_HEADERS', settings.OTEL_EXPORTER_OTLP_HEADERS),
    },
  }
}

function collector({ OTEL_EXPORTER_OTLP_ENDPOINT: endpoint, OTEL_EXPORTER_OTLP_HEADERS: headers }: Settings) {
  return endpoint === undefined ? undefined : { endpoint, ...given('headers', headers) }
}

function budget(settings: Settings): Config['budget'] {
  const { BUDGET_TOKENS_PER_USER_DAY: user, BUDGET_TOKENS_PER_ACTOR_DAY: actor } = settings
  if (user === undefined && actor === undefined) return undefined
  return { ...given('user', user), ...given('actor', actor), perRun: settings.BUDGET_TOKENS_PER_RUN }
}

function keySource(settings: Settings): KeySource | undefined {
  if (settings.AUTH_JWKS_URL !== undefined) return { kind: 'jwks', url: settings.AUTH_JWKS_URL }
  if (settings.AUTH_JWT_SECRET === undefined) return undefined
  return { kind: 'secrets', secrets: list(settings.AUTH_JWT_SECRET) }
}

/** `exactOptionalPropertyTypes`: an unset variable is an absent property. */
function given<Name extends string, Value>(name: Name, value: Value | undefined) {
  return (value === undefined ? {} : { [name]: value }) as { [key in Name]?: Value }
}
