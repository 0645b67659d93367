import type { Fault } from '../errors.ts'

const MAX_DEPTH = 100
const MAX_FAULTS = 20

/**
 * Finds text that JSON allows and Postgres cannot store (U+0000, lone surrogates), in keys and values, and
 * nesting that recursive code could not survive. Walks with a list of its own, so that depth cannot hurt it.
 * Also says how many values there are.
 */
export function inspectText(root: unknown): { faults: Fault[]; values: number } {
  const faults: Fault[] = []
  let values = 0
  const open: { value: unknown; path: string; depth: number }[] = [{ value: root, path: '', depth: 0 }]
  for (let next = open.pop(); next !== undefined && faults.length < MAX_FAULTS; next = open.pop()) {
    const { value, path, depth } = next
    values++
    if (typeof value === 'string') {
      if (!isStorable(value)) faults.push({ path, message: UNSTORABLE })
    } else if (value !== null && typeof value === 'object') {
      if (depth === MAX_DEPTH) {
        faults.push({ path, message: `must not be nested deeper than ${MAX_DEPTH} levels` })
        continue
      }
      for (const [key, inner] of Object.entries(value)) {
        if (!isStorable(key)) faults.push({ path, message: `has a key that ${UNSTORABLE}` })
        open.push({ value: inner, path: `${path}/${pointer(key)}`, depth: depth + 1 })
      }
    }
  }
  return { faults, values }
}

const UNSTORABLE = 'must not contain U+0000 or lone surrogates'

const isStorable = (text: string) => !text.includes('\0') && text.isWellFormed()

/** One step of a JSON pointer (RFC 6901), well-formed whatever the key. */
export const pointer = (key: string) => key.toWellFormed().replaceAll('~', '~0').replaceAll('/', '~1')
