import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { SignJWT } from 'jose'
import pg from 'pg'
import { type LocalPostgres, startPostgres } from '../../src/local/postgres.ts'
import { migrate } from '../../src/stores/migrations.ts'
import { childrenOf, freePort, type Restartable, restartable } from './processes.ts'
import { startToxicProxy, type ToxicProxy } from './toxic-proxy.ts'

const SECRET = 'the secret of the chaos tests is long enough'
const ENGINE_KEY = 'tr_dev_chaos'
/** How long a new run is missing in the engine's lists, as at a Trigger.dev server. */
export const LIST_LAG_MS = 1_000
/** The share of events that the engine's subscriptions lose, as at a Trigger.dev server under load. */
const LOST_EVENTS = 0.02
/** The file on the command line of every worker. The engine may have other child processes, which execute no runs. */
const WORKER = 'local/engine/child.ts'

/** One instance of the service with a network of its own to the engine and to the database. */
export interface Instance {
  url: string
  process: Restartable
  engine: ToxicProxy
  database: ToxicProxy
}

export interface Cluster {
  instances: Instance[]
  engine: { url: string; secretKey: string; process: Restartable; workers(): number[] }
  /** Opens a connection of the test to the database. It goes through no proxy. */
  connect(): Promise<pg.Client>
  /** Stops Postgres and starts it again. Committed rows survive. */
  restartPostgres(): Promise<void>
  mend(): Promise<void>
  /** Ends all processes and deletes the data. It may be called again. */
  stop(): Promise<void>
}

/** Clusters that have not been stopped. */
const running = new Set<Cluster>()

/** Stops all clusters, for a process that ends in the middle of a scenario. */
export const stopClusters = async (): Promise<void> =>
  void (await Promise.all([...running].map((cluster) => cluster.stop())))

export interface Answer {
  status: number
  // biome-ignore lint/suspicious/noExplicitAny: the tests read fields of bodies without a type
  body: any
  headers: Headers
}

/**
 * Instances of the service as processes, on one database and one engine of their own.
 * @param environment of every instance
 * @param workerEnvironment of the engine and its workers
 */
export async function startCluster(
  count: number,
  environment: Record<string, string> = {},
  workerEnvironment: Record<string, string> = {},
): Promise<Cluster> {
  const dataDir = await mkdtemp(join(tmpdir(), 'agent-chat-chaos-'))
  // When root runs the tests, the database server runs as another user, who must be able to enter this folder.
  await chmod(dataDir, 0o711)
  const log = { info() {}, warn() {}, error() {} }
  let postgres: LocalPostgres = await startPostgres({ dataDir, log })
  await migrate(postgres.url)

  const enginePort = await freePort()
  const engineUrl = `http://127.0.0.1:${enginePort}`
  const engine = restartable(
    resolve('src/local/engine/main.ts'),
    {
      LOCAL_ENGINE_PORT: String(enginePort),
      TRIGGER_SECRET_KEY: ENGINE_KEY,
      LOG_LEVEL: 'warn',
      AGENT_OFFLINE_FAULTS: '1',
      LOCAL_ENGINE_LIST_LAG_MS: String(LIST_LAG_MS),
      LOCAL_ENGINE_LOSE_EVENTS: String(LOST_EVENTS),
      ...workerEnvironment,
    },
    async () => (await fetch(`${engineUrl}/healthcheck`)).ok,
  )
  await engine.start()

  const instances = await Promise.all(
    Array.from({ length: count }, async (): Promise<Instance> => {
      const [toEngine, toDatabase, port] = await Promise.all([
        startToxicProxy(engineUrl),
        startToxicProxy(postgres.url),
        freePort(),
      ])
      const url = `http://127.0.0.1:${port}`
      const process = restartable(
        resolve('src/bin/server.ts'),
        {
          NODE_ENV: 'production',
          PORT: String(port),
          LOG_LEVEL: 'warn',
          DATABASE_URL: toDatabase.url,
          TRIGGER_SECRET_KEY: ENGINE_KEY,
          TRIGGER_API_URL: toEngine.url,
          TRIGGER_CALLS_PER_MINUTE: '0',
          TRIGGER_LIST_LAG_MS: String(1.5 * LIST_LAG_MS),
          AUTH_JWT_SECRET: SECRET,
          RATE_LIMIT_START_MAX: '1000000',
          RATE_LIMIT_READ_MAX: '1000000',
          ...environment,
        },
        async () => (await fetch(`${url}/readyz`)).ok,
      )
      return { url, process, engine: toEngine, database: toDatabase }
    }),
  )
  await Promise.all(instances.map((instance) => instance.process.start()))

  let stopped: Promise<void> | undefined
  const cluster: Cluster = {
    instances,
    engine: {
      url: engineUrl,
      secretKey: ENGINE_KEY,
      process: engine,
      workers: () => (engine.pid === undefined ? [] : childrenOf(engine.pid, WORKER)),
    },
    async connect() {
      const client = new pg.Client({ connectionString: postgres.url, connectionTimeoutMillis: 10_000 })
      client.on('error', () => {})
      await client.connect()
      return client
    },
    async restartPostgres() {
      await postgres.stop()
      postgres = await startPostgres({ dataDir, log })
      for (const { database } of instances) database.retarget(postgres.url)
    },
    async mend() {
      for (const { engine, database } of instances) await Promise.all([engine.mend(), database.mend()])
    },
    stop() {
      stopped ??= stop()
      return stopped
    },
  }

  async function stop(): Promise<void> {
    running.delete(cluster)
    await Promise.all(instances.map((instance) => instance.process.kill()))
    await Promise.all(instances.flatMap(({ engine, database }) => [engine.stop(), database.stop()]))
    await engine.end()
    await postgres.stop()
    await rm(dataDir, { recursive: true, force: true, maxRetries: 3 })
  }
  running.add(cluster)
  return cluster
}

const tokens = new Map<string, Promise<string>>()

/** Sends one request. Rejects when the connection breaks or no answer comes within `timeoutMs`. */
export async function request(
  instance: Pick<Instance, 'url'>,
  method: string,
  path: string,
  options: { user?: string; body?: object; key?: string; timeoutMs?: number } = {},
): Promise<Answer> {
  const { user = 'alice', body, key, timeoutMs = 40_000 } = options
  const token = tokens.get(user) ?? sign(user)
  tokens.set(user, token)
  const response = await fetch(instance.url + path, {
    method,
    headers: {
      authorization: `Bearer ${await token}`,
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      ...(key === undefined ? {} : { 'idempotency-key': key }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    signal: AbortSignal.timeout(timeoutMs),
  })
  const text = await response.text()
  return { status: response.status, headers: response.headers, body: text === '' ? {} : JSON.parse(text) }
}

const sign = (user: string): Promise<string> =>
  new SignJWT({ scope: 'agent:read agent:write' })
    .setProtectedHeader({ alg: 'HS256' })
    .setSubject(user)
    .setIssuedAt()
    .setExpirationTime('2h')
    .sign(Buffer.from(SECRET))
