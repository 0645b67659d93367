/** Parsers of variables: each returns the value, or a sentence that says what the value must be. */

/** A whole number (or any, with `fractions`) within bounds. */
export function number(minimum: number, maximum: number, { fractions = false } = {}) {
  return (text: string): number | string => {
    const value = (fractions ? /^\d+(\.\d+)?$/ : /^\d+$/).test(text) ? Number(text) : Number.NaN
    if (value >= minimum && value <= maximum) return value
    return `must be a ${fractions ? '' : 'whole '}number from ${minimum} to ${maximum}`
  }
}

/** A JSON object whose values are all of one type. */
export function object(type: 'string' | 'object') {
  const sentence = `must be a JSON object of ${type === 'string' ? 'texts' : 'objects'}`
  return (text: string): Record<string, never> | string => {
    try {
      const value: unknown = JSON.parse(text)
      return isObject(value) && Object.values(value).every((item) => isOfType(item, type))
        ? (value as Record<string, never>)
        : sentence
    } catch {
      return sentence
    }
  }
}

/** The items of a comma-separated list, trimmed, without blank ones. */
export function list(text: string | undefined): string[] {
  const items = (text ?? '').split(',').map((item) => item.trim())
  return items.filter((item) => item !== '')
}

export function isOneOf<T extends string>(values: readonly T[], value: string): value is T {
  return (values as readonly string[]).includes(value)
}

const isObject = (value: unknown): value is object =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
const isOfType = (value: unknown, type: 'string' | 'object') =>
  type === 'string' ? typeof value === 'string' : isObject(value)
