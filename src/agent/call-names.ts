import { createHash } from 'node:crypto'
import type { LanguageModelV4Message } from '@ai-sdk/provider'

type Content = Exclude<LanguageModelV4Message, { role: 'system' }>['content'][number]

const ID = /^[\w-]{1,40}$/
const NOT_IN_NAMES = /[^\w-]/g
const NAME_LENGTH = 64

/**
 * Gives the tool calls of a prompt ids and names that every provider takes, and gives each result those of its call.
 * Some servers number their calls from 0 in every answer, so a call whose id an earlier call has used gets a new id.
 * An id that fits stays, so that a provider recognizes its own ids.
 */
export function createCallNames(): (part: Content) => Content {
  /** For each original id, the new ids of its calls that have no result yet, oldest first. */
  const given = new Map<string, string[]>()
  const taken = new Set<string>()

  const give = (id: string): string => {
    let fitting = ID.test(id) ? id : hashed(id)
    for (let n = 2; taken.has(fitting); n++) fitting = hashed(`${id} ${n}`)
    taken.add(fitting)
    given.set(id, [...(given.get(id) ?? []), fitting])
    return fitting
  }

  return (part) => {
    if (part.type !== 'tool-call' && part.type !== 'tool-result') return part
    const toolName = part.toolName.replace(NOT_IN_NAMES, '_').slice(0, NAME_LENGTH) || '_'
    if (part.type === 'tool-result')
      return { ...part, toolName, toolCallId: given.get(part.toolCallId)?.shift() ?? give(part.toolCallId) }
    return { ...part, toolName, toolCallId: give(part.toolCallId), input: asObject(part.input) }
  }
}

const hashed = (id: string) => `call_${createHash('sha256').update(id).digest('hex').slice(0, 24)}`

/** Wraps arguments that are no object: the model reads them again beside the error that answered its call. */
function asObject(input: unknown): object {
  return typeof input === 'object' && input !== null && !Array.isArray(input)
    ? input
    : { input: input ?? null }
}
