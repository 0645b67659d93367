import type { MCPClientConfig } from '@ai-sdk/mcp'
import { ToolError } from '../tools/tool-error.ts'

/** Bytes of one answer of a server. */
export const MAX_ANSWER = 4 * 1024 * 1024

/**
 * The connection to a server over streamable HTTP. Redirects are not followed, because they would take the headers to
 * another host.
 */
export function httpTransport(url: string, headers: Record<string, string>): MCPClientConfig['transport'] {
  return { type: 'http', url, headers, redirect: 'error', fetch: boundedFetch }
}

const boundedFetch: typeof fetch = async (input, init) => {
  // A GET opens the channel of the server's own messages. The client has no use for them.
  if (init?.method === 'GET') return new Response(null, { status: 405 })
  const response = await fetch(input, { ...init, redirect: 'error' })
  if (response.body === null) return response
  return new Response(response.body.pipeThrough(bounded()), response)
}

function bounded(): TransformStream<Uint8Array<ArrayBuffer>, Uint8Array<ArrayBuffer>> {
  let read = 0
  return new TransformStream({
    transform(chunk, controller) {
      read += chunk.byteLength
      if (read > MAX_ANSWER) controller.error(new ToolError('The tool returned too much.'))
      else controller.enqueue(chunk)
    },
  })
}
