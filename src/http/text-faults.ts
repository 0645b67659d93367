import type { Fault } from '../errors.ts'

const MAX_DEPTH = 100
const MAX_FAULTS = 20

/** An object or array on the way; paths are put together only for what is wrong. */
interface Place {
  value: object
  key: string | number
  parent: Place | undefined
  depth: number
}

/**
 * Finds text that JSON allows and Postgres cannot store (U+0000, lone surrogates), in keys and values, and
 * nesting that recursive code could not survive. Walks with a list of its own, so that depth cannot hurt it.
 * Also says how many values there are.
 */
export function inspectText(root: unknown): { faults: Fault[]; values: number } {
  const faults: Fault[] = []
  const open: Place[] = []
  let values = 0
  const report = (message: string, path: () => string) => {
    if (faults.length < MAX_FAULTS) faults.push({ path: path(), message })
  }
  const look = (value: unknown, key: string | number, parent?: Place) => {
    values++
    if (typeof value === 'string') {
      if (!isStorable(value)) report(UNSTORABLE, () => pathOf(parent, key))
    } else if (value !== null && typeof value === 'object') {
      const depth = parent === undefined ? 0 : parent.depth + 1
      if (depth < MAX_DEPTH) open.push({ value, key, parent, depth })
      else report(TOO_DEEP, () => pathOf(parent, key))
    }
  }

  look(root, '')
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    const place = next
    const { value } = place
    if (Array.isArray(value)) {
      for (let index = 0; index < value.length; index++) look(value[index], index, place)
      continue
    }
    for (const [key, inner] of Object.entries(value)) {
      if (!isStorable(key)) report(`has a key that ${UNSTORABLE}`, () => pathOf(place))
      look(inner, key, place)
    }
  }
  return { faults, values }
}

/** JSON pointer to a place, or to a key in it; the root is the empty one. */
function pathOf(place: Place | undefined, key?: string | number): string {
  const steps = key === undefined || place === undefined ? [] : [key]
  for (let at = place; at?.parent !== undefined; at = at.parent) steps.unshift(at.key)
  return steps.map((step) => `/${pointer(String(step))}`).join('')
}

const UNSTORABLE = 'must not contain U+0000 or lone surrogates'
const TOO_DEEP = `must not be nested deeper than ${MAX_DEPTH} levels`

const isStorable = (text: string) => !text.includes('\0') && text.isWellFormed()

/** One step of a JSON pointer (RFC 6901), well-formed whatever the key. */
export const pointer = (key: string) => key.toWellFormed().replaceAll('~', '~0').replaceAll('/', '~1')
