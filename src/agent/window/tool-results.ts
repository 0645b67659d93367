import type { ModelMessage } from 'ai'
import { head } from '../clean.ts'

/** Characters that a result keeps when it is cut. */
const LEAST = 400

type Part = Exclude<ModelMessage['content'], string>[number]
type ToolResult = Extract<Part, { type: 'tool-result' }>

/**
 * Cuts results of tools, oldest first, until the messages are `excess` characters shorter, or every result is short.
 * @returns the messages, and by how many characters they are shorter
 */
export function cutResults(
  messages: ModelMessage[],
  excess: number,
): { messages: ModelMessage[]; cut: number } {
  let left = excess
  const cutPart = <P extends { type: string }>(part: P): P => {
    if (part.type !== 'tool-result' || left <= 0) return part
    const { output, ...result } = part as unknown as ToolResult
    const text = textOf(output)
    const keep = Math.max(LEAST, text.length - left - MARK)
    if (text.length <= keep + MARK) return part
    const value = `${head(text, keep)}… [cut: ${text.length} characters]`
    left -= text.length - value.length
    return { ...result, output: { type: 'text', value } } as unknown as P
  }
  const shorter = messages.map((message): ModelMessage => {
    if (left <= 0 || typeof message.content === 'string') return message
    if (message.role === 'tool') return { ...message, content: message.content.map(cutPart) }
    if (message.role === 'assistant') return { ...message, content: message.content.map(cutPart) }
    return message
  })
  return { messages: shorter, cut: excess - left }
}

const MARK = '… [cut: 1000000 characters]'.length

function textOf(output: ToolResult['output']): string {
  if (output.type === 'text' || output.type === 'error-text') return output.value
  return JSON.stringify('value' in output ? output.value : output) ?? ''
}
