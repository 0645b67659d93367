import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { Test } from 'tap'
import { type App, type AppOptions, buildApp } from '../../src/app.ts'
import { type AppConfig, loadConfig } from '../../src/config/config.ts'
import { SECRET } from './tokens.ts'

type Overrides = Omit<Partial<AppConfig>, 'auth' | 'rateLimit'> & {
  auth?: Partial<AppConfig['auth']>
  rateLimit?: Partial<AppConfig['rateLimit']>
}

/** A complete configuration without logs. No server listens at its addresses of a database and an engine. */
export function testConfig({ auth, rateLimit, ...overrides }: Overrides = {}): AppConfig {
  const config = loadConfig({ LOG_LEVEL: 'silent' })
  return {
    ...config,
    database: { ...config.database, url: 'postgres://127.0.0.1:1/none' },
    trigger: { ...config.trigger, secretKey: 'tr_dev_test', apiUrl: 'http://127.0.0.1:1' },
    auth: { ...config.auth, keys: { kind: 'secrets', secrets: [SECRET] }, ...auth },
    rateLimit: { ...config.rateLimit, ...rateLimit },
    ...overrides,
  }
}

interface TestApp extends AppOptions {
  config?: Overrides
  /** Registers further routes for the test. */
  routes?: FastifyPluginAsyncTypebox
}

/** The whole service, ready to `inject` or `listen`. It is closed when the test ends. */
export function testApp(t: Test, { config, routes, ...options }: TestApp = {}): App {
  const app = buildApp(testConfig(config), options)
  t.teardown(() => app.close())
  if (routes !== undefined) app.register(routes)
  return app
}

/** A logger that keeps its lines as parsed objects. */
export function logSink() {
  const lines: Record<string, unknown>[] = []
  return { lines, logger: { stream: { write: (line: string) => void lines.push(JSON.parse(line)) } } }
}
