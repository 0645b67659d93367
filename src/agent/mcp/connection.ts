import { type CallToolResult, createMCPClient, type ListToolsResult, type MCPClient } from '@ai-sdk/mcp'
import { httpTransport } from './http-transport.ts'
import type { McpServer } from './servers.ts'
import { stdioTransport } from './stdio-transport.ts'

/** One server in one turn. It is connected to when it is asked for the first time. */
export interface McpConnection {
  list(signal: AbortSignal): Promise<ListToolsResult['tools']>
  call(tool: string, input: Record<string, unknown>, signal: AbortSignal): Promise<CallToolResult>
  close(): Promise<void>
}

const MAX_PAGES = 10
const MAX_TOOLS = 200
const CLOSE_MS = 2_000

/** @param headers those of the server, filled in for this turn */
export function connectionTo(server: McpServer, headers: Record<string, string>): McpConnection {
  let connecting: Promise<MCPClient> | undefined

  function client(signal: AbortSignal): Promise<MCPClient> {
    connecting ??= createMCPClient({
      transport: 'url' in server ? httpTransport(server.url, headers) : stdioTransport(server),
      clientName: 'agent-chat-service',
      initializationOptions: { signal },
      // The calls themselves reject; what is told here beside them are attempts at other versions of the protocol.
      onUncaughtError: () => {},
    }).catch((error: unknown) => {
      // The next call tries again.
      connecting = undefined
      throw error
    })
    return connecting
  }

  return {
    async list(signal) {
      const open = await client(signal)
      const tools: ListToolsResult['tools'] = []
      let cursor: string | undefined
      for (let page = 0; page < MAX_PAGES && tools.length < MAX_TOOLS; page++) {
        const params = cursor === undefined ? {} : { params: { cursor } }
        const listed = await open.listTools({ ...params, options: { signal } })
        tools.push(...listed.tools)
        cursor = listed.nextCursor
        if (cursor === undefined) break
      }
      return tools.slice(0, MAX_TOOLS)
    },
    async call(tool, input, signal) {
      const open = await client(signal)
      return open.callTool({ name: tool, arguments: input, options: { signal } })
    },
    async close() {
      const open = await connecting?.catch(() => undefined)
      if (open === undefined) return
      const { promise: late, resolve } = Promise.withResolvers<void>()
      const timer = setTimeout(resolve, CLOSE_MS)
      await Promise.race([open.close().catch(() => {}), late])
      clearTimeout(timer)
    },
  }
}
