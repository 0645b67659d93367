const REPLACEMENT = '\ufffd'

/** Postgres cannot store U+0000, and a lone surrogate is no character: both become U+FFFD. */
export function cleanText(text: string): string {
  return text.toWellFormed().replaceAll('\u0000', REPLACEMENT)
}

/** Trigger.dev's SDK carries no object that has a field of one of these names. */
const UNCARRIED = new Set(['__proto__', 'constructor', 'prototype'])

/** Whether payloads and outputs of runs can have fields of this name. */
export const isCarried = (name: string): boolean => !UNCARRIED.has(name)

/** A field that Trigger.dev's SDK does not carry gets an underscore before its name. */
const fieldName = (name: string) => (isCarried(name) ? cleanText(name) : `_${name}`)

/** A copy as plain JSON that can be stored and carried: all its strings are clean, names of fields included. */
export function cleanJson<T>(value: T): T {
  return JSON.parse(JSON.stringify(value), (_key, item) => {
    if (typeof item === 'string') return cleanText(item)
    if (item === null || typeof item !== 'object' || Array.isArray(item)) return item
    return Object.fromEntries(Object.entries(item).map(([key, entry]) => [fieldName(key), entry]))
  })
}

/** The first `length` UTF-16 units of a text, one fewer where a surrogate pair would be cut in two. */
export function head(text: string, length: number): string {
  return isHighSurrogate(text.charCodeAt(length - 1)) ? text.slice(0, length - 1) : text.slice(0, length)
}

export function isHighSurrogate(unit: number): boolean {
  return unit >= 0xd800 && unit <= 0xdbff
}
