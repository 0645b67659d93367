import type {
  LanguageModelV4FilePart,
  LanguageModelV4Prompt,
  LanguageModelV4TextPart,
} from '@ai-sdk/provider'
import { head } from './clean.ts'

type Addresses = Record<string, RegExp[]>

const LONGEST_ADDRESS = 500

/**
 * Tells the AI SDK that a model takes every address, so that the worker fetches no file: an address comes from a client
 * and may lead into the worker's network.
 */
export const EVERY_ADDRESS: Addresses = { '*/*': [/^/] }

/**
 * Replaces the files of a prompt that a model does not take by words, because a refused file would make every later
 * turn of the conversation fail.
 */
export function withoutFiles(
  prompt: LanguageModelV4Prompt,
  isRefused: (file: LanguageModelV4FilePart) => boolean,
): LanguageModelV4Prompt {
  const inWords = <Part extends { type: string }>(part: Part | LanguageModelV4FilePart) =>
    isFile(part) && isRefused(part) ? described(part) : part
  return prompt.map((message) => {
    if (message.role === 'user') return { ...message, content: message.content.map(inWords) }
    if (message.role === 'assistant') return { ...message, content: message.content.map(inWords) }
    return message
  })
}

const isFile = (part: { type: string }): part is LanguageModelV4FilePart => part.type === 'file'

/** Whether a file has an address that the provider of a model does not fetch. */
export const isOutOfReach =
  (fetched: Addresses) =>
  ({ mediaType, data }: LanguageModelV4FilePart): boolean =>
    data.type === 'url' &&
    !Object.entries(fetched).some(
      ([type, addresses]) =>
        isOfType(mediaType, type) && addresses.some((address) => address.test(String(data.url))),
    )

const isOfType = (mediaType: string, type: string) =>
  type === '*' ||
  type === '*/*' ||
  type === mediaType ||
  (type.endsWith('/*') && mediaType.startsWith(type.slice(0, -1)))

function described({ mediaType, data }: LanguageModelV4FilePart): LanguageModelV4TextPart {
  const address = data.type === 'url' ? ` at ${head(String(data.url), LONGEST_ADDRESS)}` : ''
  return { type: 'text', text: `[A file of type ${mediaType}${address}, which is not shown here.]` }
}
