import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { v7 as uuid } from 'uuid'
import type { Database } from './database.ts'
import { paced } from './paced.ts'
import { openSession } from './session.ts'

/**
 * Notices between instances: an instance tells the others by NOTIFY that it has written events. The feed and the deliverer
 * then read the tables at once. A notice may be lost, because both read the tables at intervals, too.
 */
export interface Notices {
  /** Tells all instances, this one first, that events were written. Called after their transaction. */
  tell(): void
  /** Called when an instance has written events, and when notices may have been lost. */
  onTold(listener: () => void): void
  /** Keeps a session that hears the notices of other instances, until `signal` aborts. Behind a pooler there is none. */
  listen(signal: AbortSignal): Promise<void>
}

export interface NoticesContext {
  url: string
  database: Pick<Database, 'named'>
  log: { info(object: object, message: string): void; warn(object: object, message: string): void }
}

const CHANNEL = 'agent_chat_events'
/**
 * Notices are passed on at most once in this time. A NOTIFY in the transaction of each event would hold a lock of the
 * whole server while that transaction is committed: see docs/decisions/0014-notices-beside-transactions.md.
 */
const PAUSE_MS = 100
const CONNECT_TIMEOUT_MS = 4_000
/** How often the session is used, so that the instance notices when the network has lost it. */
const PROBE_MS = 30_000
const PROBE_TIMEOUT_MS = 5_000
const RECONNECT_MS = 1_000

export function notices({ url, database, log }: NoticesContext): Notices {
  const self = uuid()
  const listeners: Array<() => void> = []
  let isListening = false
  let isLost = false
  const wake = paced(PAUSE_MS, () => {
    for (const listener of listeners) listener()
  })
  const notify = paced(PAUSE_MS, () => {
    // When this fails, the other instances find the events when they read the tables next.
    database.named('notify', `select pg_notify('${CHANNEL}', $1)`, [self]).catch(() => {})
  })

  /** Hears notices until the session breaks. @returns false when a pooler stands before the database server */
  async function hear(signal: AbortSignal): Promise<boolean> {
    const client = new pg.Client({
      connectionString: url,
      application_name: 'agent-chat-service events',
      connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
      query_timeout: PROBE_TIMEOUT_MS,
      keepAlive: true,
    })
    const ended = Promise.withResolvers<void>()
    client.on('error', ended.reject)
    client.on('end', () => ended.reject(new Error('the server has ended the session')))
    client.on('notification', ({ payload }) => {
      if (payload !== self) wake()
    })
    ended.promise.catch(() => {})
    const leave = () => ended.resolve()
    signal.addEventListener('abort', leave)
    let probe: NodeJS.Timeout | undefined
    try {
      await client.connect()
      if ((await openSession(client)).isPooled) return false
      await client.query(`listen ${CHANNEL}`)
      probe = setInterval(() => client.query('select 1').catch(ended.reject), PROBE_MS)
      isListening = true
      isLost = false
      log.info({}, 'this instance hears of the events of other instances at once')
      wake() // Notices may have been lost before.
      await ended.promise
      return true
    } finally {
      isListening = false
      clearInterval(probe)
      signal.removeEventListener('abort', leave)
      client.end().catch(() => {})
    }
  }

  return {
    tell() {
      wake()
      // The instance is behind a pooler, where a session hears no notices. The other instances are behind it, too.
      if (isListening) notify()
    },
    onTold: (listener) => void listeners.push(listener),
    async listen(signal) {
      while (!signal.aborted) {
        try {
          if (await hear(signal)) continue
          return log.info({}, POOLED)
        } catch (error) {
          if (!isLost && !signal.aborted) log.warn({ err: error }, LOST)
          isLost = true
        }
        await sleep(RECONNECT_MS, undefined, { signal }).catch(() => {})
      }
    },
  }
}

const POOLED =
  'a pooler stands between this instance and the database: events of other instances are seen within a second'
const LOST =
  'the session that hears of the events of other instances was lost: until it is back, they are seen within a second'
