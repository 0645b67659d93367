import { createHash } from 'node:crypto'
import type { McpDefinition } from './definitions.ts'
import type { McpServer } from './servers.ts'

/** What a server has listed, or that it was away. */
export type KnownList = { tools: McpDefinition[]; unusable: string[] } | 'away'

/** A list is read anew after this time, and a server that was away is asked again. */
const FRESH_MS = 60_000
const AWAY_MS = 30_000
const MAX_LISTS = 200

const lists = new Map<string, { known: KnownList; until: number }>()

/** The key of a list: a server may list other tools for other headers. */
export const listKey = (server: McpServer, headers: Record<string, string>): string =>
  createHash('sha256')
    .update(
      JSON.stringify([
        server.name,
        'url' in server ? server.url : [server.command, server.args, server.env],
        headers,
      ]),
    )
    .digest('hex')

/** The lists that turns of this process have read lately. */
export const knownLists = {
  get(key: string): KnownList | undefined {
    const entry = lists.get(key)
    return entry === undefined || entry.until < performance.now() ? undefined : entry.known
  },
  set(key: string, known: KnownList): void {
    lists.delete(key)
    lists.set(key, { known, until: performance.now() + (known === 'away' ? AWAY_MS : FRESH_MS) })
    const [oldest] = lists.keys()
    if (lists.size > MAX_LISTS && oldest !== undefined) lists.delete(oldest)
  },
  forget: (key: string): void => void lists.delete(key),
}
