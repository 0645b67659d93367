import { createHash } from 'node:crypto'
import type { LanguageModelV4Message } from '@ai-sdk/provider'

type Content = Exclude<LanguageModelV4Message, { role: 'system' }>['content'][number]

const ID = /^[\w-]{1,40}$/
const NOT_IN_NAMES = /[^\w-]/g
const NAME_LENGTH = 64

/**
 * Gives the tool calls of a prompt ids and names that every provider takes, and their results the same ones. Some
 * servers count their calls from 0 in every answer: a second call with a known id gets another one. Ids that fit
 * stay, so that a provider finds its own again.
 */
export function createCallNames(): (part: Content) => Content {
  /** By the id that the call came with: the id that its newest call was given. */
  const given = new Map<string, string>()
  const taken = new Set<string>()

  const give = (id: string): string => {
    let fitting = ID.test(id) ? id : hashed(id)
    for (let n = 2; taken.has(fitting); n++) fitting = hashed(`${id} ${n}`)
    taken.add(fitting)
    given.set(id, fitting)
    return fitting
  }

  return (part) => {
    if (part.type !== 'tool-call' && part.type !== 'tool-result') return part
    const toolName = part.toolName.replace(NOT_IN_NAMES, '_').slice(0, NAME_LENGTH) || '_'
    if (part.type === 'tool-result')
      return { ...part, toolName, toolCallId: given.get(part.toolCallId) ?? give(part.toolCallId) }
    return { ...part, toolName, toolCallId: give(part.toolCallId), input: asObject(part.input) }
  }
}

const hashed = (id: string) => `call_${createHash('sha256').update(id).digest('hex').slice(0, 24)}`

/** A model that calls a tool with something else than an object is answered with an error, and reads what it sent. */
function asObject(input: unknown): object {
  return typeof input === 'object' && input !== null && !Array.isArray(input)
    ? input
    : { input: input ?? null }
}
