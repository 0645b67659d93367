import type { CallToolResult } from '@ai-sdk/mcp'
import { head } from '../clean.ts'
import { ToolError } from '../tools/tool-error.ts'

/** Characters of what a server says about a call that has failed. */
const MAX_ERROR = 1_000

/**
 * The output of a call: the structured content where there is one, else the text. Pictures, sounds and files are named,
 * and not passed on.
 * @throws ToolError with the server's own words when the server says that the call has failed
 */
export function outputOf(result: CallToolResult): unknown {
  if (!('content' in result) || !Array.isArray(result.content))
    return 'toolResult' in result ? result.toolResult : null
  const parts = result.content.map((part) => partOf(part as Part))
  const isText = parts.every((part) => typeof part === 'string')
  if (result.isError)
    throw new ToolError(head((isText && parts.join('\n').trim()) || 'The tool failed.', MAX_ERROR))
  if (result.structuredContent !== undefined) return result.structuredContent
  return isText ? parts.join('\n') : parts
}

type Part = { type: string } & Record<string, unknown>

function partOf(part: Part): string | Record<string, unknown> {
  const { type, text, data, resource, mimeType, uri, name, description } = part
  if (type === 'text') return String(text)
  if (type === 'resource') {
    const { uri, mimeType, text, blob } = (resource ?? {}) as Record<string, unknown>
    return { type, uri, mimeType, ...(text === undefined ? { bytes: bytesOf(blob) } : { text }) }
  }
  return data === undefined
    ? { type, uri, name, description, mimeType }
    : { type, mimeType, bytes: bytesOf(data) }
}

/** The size of what is written in base64. */
const bytesOf = (base64: unknown): number => Math.floor((String(base64).length * 3) / 4)
