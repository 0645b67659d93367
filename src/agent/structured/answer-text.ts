import type { TurnMessage } from '../turn.ts'

/** The text of the last step of an answer. */
export function lastText(parts: TurnMessage['parts']): string {
  const from = parts.findLastIndex(({ type }) => type === 'step-start')
  return parts
    .slice(from + 1)
    .map((part) => (part.type === 'text' ? part.text : ''))
    .join('')
}

/** Reads JSON, also from within a fenced block, in which some models write it. @returns undefined for other texts */
export function readJson(text: string): { value: unknown } | undefined {
  const [, fenced] = /^\s*```(?:json)?\s*\n([\s\S]*?)\n?\s*```\s*$/.exec(text) ?? []
  try {
    return { value: JSON.parse(fenced ?? text) }
  } catch {
    return undefined
  }
}
