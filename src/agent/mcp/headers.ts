import type { TurnCaller } from '../turn.ts'

/** What placeholders stand for. */
export interface HeaderValues {
  caller: Pick<TurnCaller, 'userId'> | undefined
  context: Record<string, unknown>
}

const PLACEHOLDER = /\{(userId|context\.[\w-]+)\}/g
/** Characters that end or change a value in common headers, and those that no header can carry. */
const UNSAFE = /[^\x21-\x7e]|[%,;"\\]/gu

/**
 * The headers of a request, with the placeholders `{userId}` and `{context.x}` filled in. A value is percent-encoded
 * where a header could not carry it as it is, so that no value can be taken for another one. A header whose placeholder
 * has no value is left out.
 */
export function fillHeaders(
  headers: Record<string, string>,
  { caller, context }: HeaderValues,
): Record<string, string> {
  const filling = (name: string): string | undefined => {
    const value = name === 'userId' ? caller?.userId : context[name.slice('context.'.length)]
    return typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean'
      ? String(value).toWellFormed().replace(UNSAFE, encoded)
      : undefined
  }
  return Object.fromEntries(
    Object.entries(headers).flatMap(([name, template]) => {
      const wanted = Array.from(template.matchAll(PLACEHOLDER), ([, placeholder = '']) => placeholder)
      if (wanted.some((placeholder) => !filling(placeholder))) return []
      return [[name, template.replace(PLACEHOLDER, (_, placeholder: string) => filling(placeholder) ?? '')]]
    }),
  )
}

/** `encodeURIComponent` leaves none of the characters as it is. */
const encoded = (character: string) => encodeURIComponent(character)
