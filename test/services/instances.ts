import { turnTag } from '../../src/services/run-tags.ts'
import { startToxicProxy, type ToxicProxy } from '../chaos/toxic-proxy.ts'
import { createDatabase } from '../support/postgres.ts'
import { type Answer, type Service, startEngine, startService, type Teardown } from '../support/service.ts'
import { query } from './rows.ts'

export const CHAT = '/api/agent/chat'
/** A message whose answer goes on until it is cancelled. */
export const ENDLESS = '[[stall-after:3]] story'

export const start = (service: Service, key: string | undefined, body: object): Promise<Answer> =>
  service.call('POST', CHAT, { body, headers: key === undefined ? {} : { 'idempotency-key': key } })

/** Repeats a start while its answer is retryable. */
export async function insist(service: Service, key: string, body: object): Promise<Answer> {
  for (;;) {
    const answer = await start(service, key, body)
    if (!answer.body.retryable) return answer
  }
}

/** The turn that has this key. */
export const turnOfKey = async (service: Service, key: string) =>
  (
    await query<{ id: string; state: string; run_id: string | null }>(
      service,
      `select id, state, run_id from turns where idempotency_key = '${key}'`,
    )
  )[0]

/** The runs that the engine has for a turn, newest first. */
export async function runsOf(
  { app }: Service,
  turnId: string,
): Promise<Array<{ runId: string; status: string }>> {
  const runs = []
  for await (const { runId, status } of app.engine.list({ tag: turnTag(turnId) }))
    runs.push({ runId, status })
  return runs
}

/** Two instances on one database and one engine. Instance `a` reaches both through proxies. */
export async function pair(
  t: Teardown & Parameters<typeof createDatabase>[0],
  { listLagMs = 0, loseEvents = 0 }: { listLagMs?: number; loseEvents?: number } = {},
) {
  const engine = await startEngine(t, { switches: { listLagMs, loseEvents } })
  const environment = { TRIGGER_LIST_LAG_MS: String(listLagMs * 1.2) }
  const databaseUrl = await createDatabase(t)
  const proxy = async (url: string): Promise<ToxicProxy> => {
    const made = await startToxicProxy(url)
    t.teardown(() => made.stop())
    return made
  }
  const [toEngine, toDatabase, toDatabaseOfB] = await Promise.all([
    proxy(engine.url),
    proxy(databaseUrl),
    proxy(databaseUrl),
  ])
  const a = await startService(t, {
    engine: { ...engine, url: toEngine.url },
    databaseUrl: toDatabase.url,
    environment,
  })
  const b = await startService(t, { engine, databaseUrl: toDatabaseOfB.url, environment })
  const warm = await start(a, 'warm', { message: 'hi' })
  await a.ended(warm.body.runId)
  return { engine, a, b, toEngine, toDatabase, toDatabaseOfB, conversationId: warm.body.conversationId }
}
