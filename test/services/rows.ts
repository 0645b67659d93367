import { setTimeout as sleep } from 'node:timers/promises'
import { sql } from 'kysely'
import type { Service } from '../support/service.ts'

/** Runs one statement on the service's database. */
export async function query<Row = Record<string, unknown>>(
  service: Service,
  statement: string,
): Promise<Row[]> {
  return (await service.app.database.run((db) => sql.raw<Row>(statement).execute(db))).rows
}

/** Resolves once the condition holds. The runner's timeout is the limit. */
export async function until<T>(condition: () => Promise<T | undefined | false>): Promise<T> {
  for (;;) {
    const found = await condition()
    if (found !== undefined && found !== false) return found
    await sleep(50)
  }
}

/** A turn for `stores.turns.start`, as an instance stores it before the dispatch. */
export function storedTurn(n: number, conversationId: string, key: string | null = null) {
  const id = (group: string) => `00000000-0000-7000-${group}-${String(n).padStart(12, '0')}`
  const text = `left over ${n}`
  return {
    turnId: id('8000'),
    userId: 'alice',
    actor: null,
    conversationId,
    newConversation: false,
    agents: ['default'],
    title: text,
    seed: [],
    message: { id: id('9000'), role: 'user' as const, text, parts: [{ type: 'text' as const, text }] },
    assistantMessageId: id('a000'),
    metadata: {},
    ifBusy: 'enqueue' as const,
    idempotencyKey: key,
    requestHash: key,
  }
}
