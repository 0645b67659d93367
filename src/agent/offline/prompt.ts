import type { LanguageModelV4Prompt, LanguageModelV4ToolResultPart } from '@ai-sdk/provider'

/** The facts that the offline model reads in its prompt. */
export interface Reading {
  /** The message to answer. */
  message: string
  /** Earlier messages of the user, oldest first. */
  earlier: string[]
  /** Results of the tools called for this message. */
  results: LanguageModelV4ToolResultPart[]
  /** Names of the tools that may be called. */
  tools: string[]
}

/** Reads the user's messages, and the tool results that follow the last one. */
export function readPrompt(prompt: LanguageModelV4Prompt, tools: string[] = []): Reading {
  const said: string[] = []
  let results: LanguageModelV4ToolResultPart[] = []
  for (const { role, content } of prompt) {
    if (role === 'user') {
      said.push(content.map((part) => (part.type === 'text' ? part.text : '')).join(''))
      results = []
    }
    if (role === 'tool') results.push(...content.filter((part) => part.type === 'tool-result'))
  }
  return { message: said.at(-1) ?? '', earlier: said.slice(0, -1), results, tools }
}

/** The text on one line, cut after `length` characters. */
export function shorten(text: string, length = 200): string {
  const characters = Array.from(text.replace(/\s+/g, ' ').trim())
  return characters.length > length ? `${characters.slice(0, length).join('')}…` : characters.join('')
}
