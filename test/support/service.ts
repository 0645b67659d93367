import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { SignJWT } from 'jose'
import { type App, type AppOptions, buildApp } from '../../src/app.ts'
import type { AppConfig } from '../../src/config/config.ts'
import { loadConfig } from '../../src/config/config.ts'
import { type EngineOptions, type LocalEngine, startLocalEngine } from '../../src/local/engine/engine.ts'
import { createDatabase } from './postgres.ts'

/** The part of a tap test that this file needs. */
export type Teardown = { teardown(fn: () => unknown): void }

export const SECRET = 'a test secret of more than thirty-two bytes'
const AGENT_TASK = fileURLToPath(new URL('../../src/trigger/agent-chat.ts', import.meta.url))

export interface Answer<Body = Record<string, never>> {
  status: number
  headers: Headers
  // biome-ignore lint/suspicious/noExplicitAny: the tests read fields of bodies without a type
  body: Body extends Record<string, never> ? any : Body
}

export interface Service {
  app: App
  url: string
  engine: LocalEngine
  databaseUrl: string
  /** Calls the service as `user`, with both scopes. A body that is not a string is sent as JSON. */
  call(method: string, path: string, options?: CallOptions): Promise<Answer>
  /** Polls until the run has ended. */
  ended(runId: string, user?: string): Promise<Answer>
  close(): Promise<void>
}

export interface CallOptions {
  user?: string
  body?: unknown
  headers?: Record<string, string>
  signal?: AbortSignal
}

export interface ServiceOptions {
  /** An engine and a database that several services share. Without them the service gets an engine and database of its own. */
  engine?: LocalEngine
  databaseUrl?: string
  environment?: Record<string, string>
  config?: Partial<AppConfig>
  /** pino's options, for tests that read log lines. LOG_LEVEL is set in `environment`. */
  logger?: NonNullable<AppOptions['logger']>
  agents?: NonNullable<AppOptions['agents']>
}

/** A local engine with the task of the service, which writes without delays. The teardown ends it. */
export async function startEngine(t: Teardown, options: Partial<EngineOptions> = {}): Promise<LocalEngine> {
  const engine = await startLocalEngine({
    taskModules: [AGENT_TASK],
    secretKey: 'tr_dev_test',
    maxChildren: 3,
    spares: 1,
    log: { info() {}, warn() {}, error() {} },
    ...options,
    childEnv: { AGENT_OFFLINE_WORD_MS: '2', AGENT_OFFLINE_FAULTS: '1', ...options.childEnv },
  })
  t.teardown(() => engine.stop())
  return engine
}

/** The whole service on a port of its own, on a database of its own, behind the real SDK. */
export async function startService(t: Teardown, options: ServiceOptions = {}): Promise<Service> {
  const engine = options.engine ?? (await startEngine(t))
  const databaseUrl = options.databaseUrl ?? (await createDatabase(t as never))
  const config = {
    ...loadConfig({
      NODE_ENV: 'production',
      PORT: '0',
      LOG_LEVEL: 'silent',
      DATABASE_URL: databaseUrl,
      TRIGGER_SECRET_KEY: engine.secretKey,
      TRIGGER_API_URL: engine.url,
      TRIGGER_CALLS_PER_MINUTE: '0',
      TRIGGER_LIST_LAG_MS: '0',
      AUTH_JWT_SECRET: SECRET,
      RATE_LIMIT_START_MAX: '100000',
      RATE_LIMIT_READ_MAX: '1000000',
      ...options.environment,
    }),
    ...options.config,
  } as AppConfig
  const { logger, agents } = options
  const app = buildApp(config, {
    ...(logger === undefined ? {} : { logger }),
    ...(agents === undefined ? {} : { agents }),
  })
  let closing: Promise<undefined> | undefined
  const close = async () => {
    closing ??= app.close()
    await closing
  }
  t.teardown(close)
  const url = await app.listen({ host: '127.0.0.1', port: 0 })
  await warm(app)

  const call: Service['call'] = async (method, path, { user = 'alice', body, headers = {}, signal } = {}) => {
    const response = await fetch(url + path, {
      method,
      headers: {
        authorization: `Bearer ${await token(user)}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
      ...(signal === undefined ? {} : { signal }),
    })
    const text = await response.text()
    const isJson = /json/.test(response.headers.get('content-type') ?? '') && text !== ''
    return { status: response.status, headers: response.headers, body: isJson ? JSON.parse(text) : text }
  }

  return {
    app,
    url,
    engine,
    databaseUrl,
    call,
    close,
    async ended(runId, user = 'alice') {
      for (;;) {
        const answer = await call('GET', `/api/agent/chat/${runId}?wait=30`, { user })
        if (answer.status !== 200 || !['queued', 'running'].includes(answer.body.status)) return answer
      }
    },
  }
}

/** A bearer token for the test secret. */
export function token(sub: string, claims: Record<string, unknown> = {}, lifetime = '1h'): Promise<string> {
  return new SignJWT({ scope: 'agent:read agent:write', ...claims })
    .setProtectedHeader({ alg: 'HS256', typ: 'JWT' })
    .setSubject(sub)
    .setIssuedAt()
    .setExpirationTime(lifetime)
    .sign(Buffer.from(SECRET))
}

/** Waits until the instance is ready, as a balancer does, for at most 10 s. */
async function warm(app: App): Promise<void> {
  const until = performance.now() + 10_000
  while ((await app.health.readiness()).status === 'starting' && performance.now() < until) await sleep(50)
}
