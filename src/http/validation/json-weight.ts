import { randomInt } from 'node:crypto'

/** A body up to this size cannot be heavy enough to matter. */
const LIGHT_BYTES = 128 * 1024
/** Bounds that keep the work on one body, from its parsing to its refusal, around 100 ms on the slowest shapes. */
export const MAX_VALUES = 250_000
export const MAX_NAMES = 20_000

const [QUOTE, BACKSLASH, COMMA, COLON, BRACKET, BRACE] = Array.from('"\\,:[{', (char) => char.charCodeAt(0))
/** Bits of the hash of a name. Names with equal hashes are counted once; twenty bits make that rare enough. */
const NAME_BITS = 20
/** The hash has a random factor, because a caller who knew the factor could choose names with equal hashes. */
const FACTOR = randomInt(2 ** 24) * 2 + 1

/**
 * Whether a JSON text has so many values, or so many different names of fields, that parsing it would hold up all
 * other requests: two MiB of `[[[…` or of objects without a common name take half a second, two MiB of text none.
 * Walks over the bytes once and stops at the bound; it does not judge whether the text is JSON.
 */
export function isHeavy(text: Buffer): boolean {
  if (text.length <= LIGHT_BYTES) return false
  const seen = new Uint8Array(2 ** (NAME_BITS - 3))
  let values = 0
  let names = 0
  let hash = 0
  for (let at = 0; at < text.length; at++) {
    const byte = text[at]
    if (byte === QUOTE) {
      hash = 0
      for (at++; at < text.length && text[at] !== QUOTE; at++) {
        if (text[at] === BACKSLASH) at++
        hash = Math.imul(hash ^ (text[at] ?? 0), FACTOR)
      }
    } else if (byte === COMMA || byte === BRACKET || byte === BRACE) {
      if (++values > MAX_VALUES) return true
    } else if (byte === COLON) {
      const bit = hash >>> (32 - NAME_BITS)
      const mask = 1 << (bit & 7)
      if (((seen[bit >>> 3] ?? 0) & mask) !== 0) continue
      seen[bit >>> 3] = (seen[bit >>> 3] ?? 0) | mask
      if (++names > MAX_NAMES) return true
    }
  }
  return false
}
