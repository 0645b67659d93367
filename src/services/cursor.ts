import { createHash } from 'node:crypto'
import { problem } from '../errors.ts'

/**
 * Opaque keyset cursors, bound to the filters of their list: one that is changed, made up or used with other
 * filters is 400 `invalid_cursor`. They hold nothing secret and grant nothing: every query names the caller.
 */
export function encodeCursor(key: string[], filters: unknown): string {
  return Buffer.from(JSON.stringify([...key, digest(key, filters)])).toString('base64url')
}

/** @returns the key; undefined without a cursor @throws Problem `invalid_cursor` */
export function decodeCursor(cursor: string | undefined, filters: unknown): string[] | undefined {
  if (cursor === undefined) return undefined
  try {
    const values: unknown = JSON.parse(Buffer.from(cursor, 'base64url').toString())
    if (Array.isArray(values) && values.every((value) => typeof value === 'string')) {
      const key = values.slice(0, -1)
      if (values.at(-1) === digest(key, filters)) return key
    }
  } catch {
    // Not JSON: answered below like everything else that is no cursor of ours.
  }
  throw problem('invalid_cursor')
}

function digest(key: string[], filters: unknown): string {
  return createHash('sha256')
    .update(JSON.stringify([key, filters]))
    .digest('base64url')
    .slice(0, 16)
}

export interface Page<Item> {
  data: Item[]
  nextCursor: string | null
  hasMore: boolean
}

/** Makes a page of `limit` items out of `limit + 1` rows. */
export function pageOf<Row, Item>(
  rows: Row[],
  limit: number,
  filters: unknown,
  { item, key }: { item: (row: Row) => Item; key: (row: Row) => string[] },
): Page<Item> {
  const shown = rows.slice(0, limit)
  const last = shown.at(-1)
  const hasMore = rows.length > limit
  return {
    data: shown.map(item),
    nextCursor: hasMore && last !== undefined ? encodeCursor(key(last), filters) : null,
    hasMore,
  }
}
