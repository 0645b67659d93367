import type { Fault } from '../../errors.ts'

const MAX_DEPTH = 100
const MAX_FAULTS = 20

/** An object or array that has yet to be searched. Its path is built only when a fault is reported. */
interface Place {
  value: object
  key: string | number
  parent: Place | undefined
  depth: number
}

/**
 * Finds text that JSON allows and Postgres cannot store (U+0000, lone surrogates), in keys and values, and nesting that
 * is too deep for recursive code. The search keeps a list instead of calling itself, so that deep nesting cannot
 * overflow the stack. `values` counts the values.
 */
export function inspectText(root: unknown): { faults: Fault[]; values: number } {
  const faults: Fault[] = []
  const open: Place[] = []
  let values = 0
  const report = (message: string, path: () => string) => {
    if (faults.length < MAX_FAULTS) faults.push({ path: path(), message })
  }
  const visit = (value: unknown, key: string | number, parent?: Place) => {
    values++
    if (typeof value === 'string') {
      if (!isStorable(value)) report(UNSTORABLE, () => pathOf(parent, key))
    } else if (value !== null && typeof value === 'object') {
      const depth = parent === undefined ? 0 : parent.depth + 1
      if (depth < MAX_DEPTH) open.push({ value, key, parent, depth })
      else report(TOO_DEEP, () => pathOf(parent, key))
    }
  }

  visit(root, '')
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    const place = next
    const { value } = place
    if (Array.isArray(value)) {
      for (let index = 0; index < value.length; index++) visit(value[index], index, place)
      continue
    }
    for (const [key, inner] of Object.entries(value)) {
      if (!isStorable(key)) report(`has a key that ${UNSTORABLE}`, () => pathOf(place))
      visit(inner, key, place)
    }
  }
  return { faults, values }
}

/** JSON pointer to a place, or to a key in that place. The pointer to the root is empty. */
function pathOf(place: Place | undefined, key?: string | number): string {
  const steps = key === undefined || place === undefined ? [] : [key]
  for (let at = place; at?.parent !== undefined; at = at.parent) steps.unshift(at.key)
  return steps.map((step) => `/${pointer(String(step))}`).join('')
}

const UNSTORABLE = 'must not contain U+0000 or lone surrogates'
const TOO_DEEP = `must not be nested deeper than ${MAX_DEPTH} levels`

const isStorable = (text: string) => !text.includes('\0') && text.isWellFormed()

/** One step of a JSON pointer (RFC 6901), well-formed for every key. */
export const pointer = (key: string) => key.toWellFormed().replaceAll('~', '~0').replaceAll('/', '~1')
