const REPLACEMENT = '\ufffd'

/** Postgres cannot store U+0000, and a lone surrogate is no character: both become U+FFFD. */
export function cleanText(text: string): string {
  return text.toWellFormed().replaceAll('\u0000', REPLACEMENT)
}

/** A copy as plain JSON with all its strings clean, keys included. */
export function cleanJson<T>(value: T): T {
  return JSON.parse(JSON.stringify(value), (_key, item) => {
    if (typeof item === 'string') return cleanText(item)
    if (item === null || typeof item !== 'object' || Array.isArray(item)) return item
    return Object.fromEntries(Object.entries(item).map(([key, entry]) => [cleanText(key), entry]))
  })
}

/** The first `length` UTF-16 units of a text, one fewer where a surrogate pair would be cut in two. */
export function head(text: string, length: number): string {
  return isHighSurrogate(text.charCodeAt(length - 1)) ? text.slice(0, length - 1) : text.slice(0, length)
}

export function isHighSurrogate(unit: number): boolean {
  return unit >= 0xd800 && unit <= 0xdbff
}
