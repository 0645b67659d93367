import type {
  LanguageModelV4Message,
  LanguageModelV4Prompt,
  LanguageModelV4ToolResultOutput,
} from '@ai-sdk/provider'
import { createCallNames } from './call-names.ts'

type Content = Exclude<LanguageModelV4Message, { role: 'system' }>['content'][number]

const BLANK_MESSAGE = '[This message is blank.]'
const NO_OUTPUT = '[The tool returned nothing.]'
const CONVERSATION_BEGINS = '[The conversation begins with a message of the assistant.]'
const NO_ANSWER = '[No answer followed.]'

/**
 * Rewrites a prompt so that strict providers accept it. The rules are the same for all providers:
 *
 * - No text is blank and no list is empty. (Anthropic refuses blank texts, others refuse `content: []`.)
 * - After the instructions, the user and the assistant take turns, and the user begins. Consecutive messages of one
 *   role become one message. A tool result is followed by the assistant. (Mistral's and most chat templates demand it.)
 * - Tool calls have unique ids of at most 40 letters, digits, `_` and `-`, names of at most 64, and objects as input.
 *   (OpenAI, Anthropic; ids may come from another provider that has answered earlier.)
 */
export function fitPrompt(prompt: LanguageModelV4Prompt): LanguageModelV4Prompt {
  const fitted = createCallNames()
  const messages = prompt.flatMap(withoutBlanks).reduce(join, [])
  return takeTurns(asking(messages)).map((message) =>
    message.role === 'system' ? message : withContent(message, message.content.map(fitted)),
  )
}

/** Adds a message of the user to a prompt that ends with neither a message of the user nor a tool result. */
function asking(messages: LanguageModelV4Message[]): LanguageModelV4Message[] {
  const last = messages.at(-1)?.role
  if (last === 'user' || last === 'tool') return messages
  return [...messages, { role: 'user', content: [{ type: 'text', text: BLANK_MESSAGE }] }]
}

/** @returns the message, or nothing when it is blank */
function withoutBlanks(message: LanguageModelV4Message): LanguageModelV4Message[] {
  if (message.role === 'system') return isBlank(message.content) ? [] : [message]
  const content = (message.content as Content[])
    .filter((part) => !isBlankPart(part))
    .map((part) => (part.type === 'tool-result' ? { ...part, output: withoutBlank(part.output) } : part))
  // Another provider's package drops `custom` parts, so a message that has no other part would become empty.
  return content.some(({ type }) => type !== 'custom') ? [withContent(message, content)] : []
}

function isBlankPart(part: Content): boolean {
  if (part.type === 'text') return isBlank(part.text)
  // Reasoning without text may still carry a signature that its provider wants back.
  return part.type === 'reasoning' && isBlank(part.text) && part.providerOptions === undefined
}

function withoutBlank(output: LanguageModelV4ToolResultOutput): LanguageModelV4ToolResultOutput {
  switch (output.type) {
    case 'text':
    case 'error-text':
      return isBlank(output.value) ? { ...output, value: NO_OUTPUT } : output
    case 'json':
    case 'error-json':
      return isEmptyJson(output.value) ? { type: 'text', value: NO_OUTPUT } : output
    case 'content':
      return output.value.length === 0 ? { type: 'text', value: NO_OUTPUT } : output
    default:
      return output
  }
}

const isEmptyJson = (value: unknown) =>
  value === undefined || value === null || (typeof value === 'string' && isBlank(value))

/** Control characters count as blank, because providers written in Python take some of them for white space. */
export const isBlank = (text: string): boolean => /^[\p{White_Space}\p{Cc}\ufeff]*$/u.test(text)

function join(messages: LanguageModelV4Message[], message: LanguageModelV4Message): LanguageModelV4Message[] {
  const last = messages.at(-1)
  if (last === undefined || last.role !== message.role || message.role === 'system')
    return [...messages, message]
  const content = [...(last.content as Content[]), ...message.content].reduce(joinTexts, [])
  return [...messages.slice(0, -1), withContent(last, content)]
}

/** Joins consecutive texts of a message, because many chat templates read the content as one string. */
function joinTexts(parts: Content[], part: Content): Content[] {
  const last = parts.at(-1)
  if (last?.type !== 'text' || part.type !== 'text' || last.providerOptions || part.providerOptions)
    return [...parts, part]
  return [...parts.slice(0, -1), { type: 'text', text: `${last.text}\n\n${part.text}` }]
}

function takeTurns(messages: LanguageModelV4Message[]): LanguageModelV4Message[] {
  return messages.flatMap((message, at) => {
    const before = messages[at - 1]?.role ?? 'system'
    if (message.role === 'assistant' && before === 'system')
      return [{ role: 'user', content: [{ type: 'text', text: CONVERSATION_BEGINS }] }, message]
    if (message.role === 'user' && before === 'tool')
      return [{ role: 'assistant', content: [{ type: 'text', text: NO_ANSWER }] }, message]
    return [message]
  })
}

/** The cast is safe: the roles allow different types of parts, and no part moves to another role here. */
function withContent(message: LanguageModelV4Message, content: Content[]): LanguageModelV4Message {
  return { ...message, content } as LanguageModelV4Message
}
