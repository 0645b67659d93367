import { createHash } from 'node:crypto'
import { problem } from '../../errors.ts'

/**
 * Makes an opaque keyset cursor that is bound to the filters of its list. A cursor that was changed, invented or used
 * with other filters is answered with 400 `invalid_cursor`. A cursor grants no rights: every query names the user.
 */
export function encodeCursor(key: string[], filters: unknown): string {
  return Buffer.from(JSON.stringify([...key, digest(key, filters)])).toString('base64url')
}

/** The types of values in a key. A caller can invent a cursor, so values are checked before they reach the database. */
const KEY_TYPES = {
  uuid: (value: string) => /^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/.test(value),
  integer: (value: string) => /^\d{1,10}$/.test(value) && Number(value) < 2 ** 31,
  time: (value: string) => /^\d{4}-/.test(value) && new Date(value).toISOString() === value,
}
type KeyType = keyof typeof KEY_TYPES

/**
 * @param types the types of the values in the key; a list that is ordered by ids has one id
 * @returns the key; undefined without a cursor
 * @throws Problem `invalid_cursor`
 */
export function decodeCursor(
  cursor: string | undefined,
  filters: unknown,
  types: KeyType[] = ['uuid'],
): string[] | undefined {
  if (cursor === undefined) return undefined
  try {
    const values: unknown = JSON.parse(Buffer.from(cursor, 'base64url').toString())
    const key = Array.isArray(values) ? values.slice(0, -1) : []
    if (isKey(key, types) && encodeCursor(key, filters) === cursor) return key
  } catch {
    // The cursor is no JSON, or holds an impossible time: it is answered below like every other invalid cursor.
  }
  throw problem('invalid_cursor')
}

function isKey(key: unknown[], types: KeyType[]): key is string[] {
  return (
    key.length === types.length &&
    types.every((type, place) => typeof key[place] === 'string' && KEY_TYPES[type](key[place]))
  )
}

/** The order in which the filters were written makes no difference to the digest. */
function digest(key: string[], filters: unknown): string {
  return createHash('sha256')
    .update(JSON.stringify([key, filters], (_name, value) => sorted(value)))
    .digest('base64url')
    .slice(0, 16)
}

function sorted(value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value
  return Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))
}

export interface Page<Item> {
  data: Item[]
  nextCursor: string | null
  hasMore: boolean
}

/**
 * Makes a page of `limit` items out of `limit + 1` rows.
 * @param end the key at which the search stopped before it had found enough rows: the next page begins there
 */
export function pageOf<Row, Item>(
  rows: Row[],
  limit: number,
  filters: unknown,
  { item, key, end }: { item: (row: Row) => Item; key: (row: Row) => string[]; end?: string[] },
): Page<Item> {
  const shown = rows.slice(0, limit)
  const last = shown.at(-1)
  const next = rows.length > limit && last !== undefined ? key(last) : end
  return {
    data: shown.map(item),
    nextCursor: next === undefined ? null : encodeCursor(next, filters),
    hasMore: next !== undefined,
  }
}
