import type { PostgresPool } from 'kysely'
import pg from 'pg'
import { breaksConnection, hasLostStatements, judge, NoConnection } from './database-errors.ts'
import { BEGIN_WITH_SETTINGS, openSession, type Session } from './session.ts'

export interface Statement {
  /** Name of a prepared statement; the statement is sent unnamed through poolers. */
  name?: string
  text: string
  values: unknown[]
}

/** A pool whose connections have all settings, take writes, and are thrown away after an outage. */
export interface Connections {
  /** @throws NoConnection when the statement could not be sent; else the error of the driver or the server */
  execute<Row extends pg.QueryResultRow>(statement: Statement): Promise<Row[]>
  /** The same pool with the interface that Kysely needs. Every query is a transaction of its own. */
  forKysely: PostgresPool
  count(): { total: number; idle: number; waiting: number }
  end(): Promise<void>
}

export interface ConnectionsOptions {
  url: string
  poolMax: number
  onIdleError(error: Error): void
}

/** How long a call waits for a new connection, or for a connection that another call returns. */
const CONNECT_TIMEOUT_MS = 4_000
/** The client's own limit for a statement, for a network that loses the answer. The server's limit is shorter. */
const QUERY_TIMEOUT_MS = 5_000
const IDLE_MS = 30_000

/** Opens a pool; no connection is made before the first statement. */
export function openConnections({ url, poolMax, onIdleError }: ConnectionsOptions): Connections {
  const pool = new pg.Pool({
    connectionString: url,
    max: poolMax,
    application_name: 'agent-chat-service',
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    idleTimeoutMillis: IDLE_MS,
    query_timeout: QUERY_TIMEOUT_MS,
    keepAlive: true,
    // Behind a pooler, a statement and the transaction around it are sent in one round trip.
    pipeline: true,
  })
  /** Open connections that are believed to work. */
  const sessions = new Map<pg.PoolClient, Session>()
  const distrusted = new WeakSet<pg.PoolClient>()
  /** Whether prepared statements were lost: then a pooler stands between the service and the server. */
  let isPoolerKnown = false

  // Without this listener, an idle connection that breaks would end the process.
  pool.on('error', onIdleError)
  // Without this one, a connection that breaks during a statement would end the process. The statement itself rejects.
  pool.on('connect', (client) => client.on('error', () => {}))
  pool.on('remove', (client) => sessions.delete(client as pg.PoolClient))

  /** A busy server may take long to open a connection. Meanwhile another call may return its connection. */
  async function connect(): Promise<pg.PoolClient> {
    try {
      return await pool.connect()
    } catch (error) {
      if (pool.idleCount === 0) throw error
      return pool.connect()
    }
  }

  async function acquire(): Promise<pg.PoolClient> {
    for (;;) {
      const client = await connect().catch(refuse)
      if (distrusted.has(client)) {
        client.release(true)
        continue
      }
      if (sessions.has(client)) return client
      try {
        sessions.set(client, await openSession(client))
        return client
      } catch (error) {
        client.release(true)
        return refuse(error)
      }
    }
  }

  function refuse(error: unknown): never {
    throw new NoConnection(error, sessions.size > 0)
  }

  /** Replaces all open connections. When one of them has met an outage, the others may not work either. */
  function distrustAll(): void {
    for (const client of sessions.keys()) distrusted.add(client)
    sessions.clear()
  }

  async function send(client: pg.PoolClient, { name, text, values }: Statement): Promise<pg.QueryResult> {
    const isPooled = isPoolerKnown || sessions.get(client)?.isPooled === true
    try {
      if (isPooled) return await inTransaction(client, { text, values })
      return await client.query({ ...(name === undefined ? {} : { name }), text, values })
    } catch (error) {
      if (breaksConnection(error)) distrusted.add(client)
      if (hasLostStatements(error)) isPoolerKnown = true
      if (judge(error) === 'away') distrustAll()
      throw error
    }
  }

  function release(client: pg.PoolClient): void {
    client.release(distrusted.has(client))
  }

  return {
    async execute(statement) {
      const client = await acquire()
      try {
        return (await send(client, statement)).rows
      } finally {
        release(client)
      }
    },
    forKysely: {
      options: pool.options,
      end: () => pool.end(),
      async connect() {
        const client = await acquire()
        return {
          query: (text: string, values: unknown[]) => send(client, { text, values }),
          release: () => release(client),
        }
      },
    } as unknown as PostgresPool,
    count: () => ({ total: pool.totalCount, idle: pool.idleCount, waiting: pool.waitingCount }),
    end: () => pool.end(),
  }
}

/** One round trip: the three queries are sent without waiting for one another. */
async function inTransaction(client: pg.PoolClient, statement: pg.QueryConfig): Promise<pg.QueryResult> {
  const results = await Promise.allSettled([
    client.query(BEGIN_WITH_SETTINGS),
    client.query(statement),
    client.query('commit'),
  ])
  for (const result of results) if (result.status === 'rejected') throw result.reason
  return (results[1] as PromiseFulfilledResult<pg.QueryResult>).value
}
