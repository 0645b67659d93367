import { MCPClientError } from '@ai-sdk/mcp'
import { jsonSchema } from 'ai'
import { head } from '../clean.ts'
import { type AgentLog, nameOf } from '../failure-log.ts'
import type { AgentTool } from '../tools/tool.ts'
import { ToolError } from '../tools/tool-error.ts'
import type { TurnWarning } from '../warnings.ts'
import { connectionTo, type McpConnection } from './connection.ts'
import { type McpDefinition, readDefinitions } from './definitions.ts'
import { fillHeaders, type HeaderValues } from './headers.ts'
import { type KnownList, knownLists, listKey } from './known-lists.ts'
import { nameFor } from './names.ts'
import { outputOf } from './result.ts'
import type { McpServer } from './servers.ts'

/** What the servers of a turn are used with. */
export interface McpTurn extends HeaderValues {
  signal: AbortSignal
  log: AgentLog
  /** Pins of calls that an earlier run of the turn has asked for, by the names of their tools. */
  pinned: ReadonlyMap<string, string>
  warn(warning: TurnWarning): void
}

export interface McpTools {
  /** The tools of the servers, for a turn whose own tools have these names. */
  toolsBeside(own: Record<string, AgentTool>): Promise<Record<string, AgentTool>>
  /** Ends all connections, and with them the processes of servers. */
  close(): Promise<void>
}

/** Milliseconds within which a server has to list its tools, unless its own limit says otherwise, and the most of these. */
const LIST_MS = 10_000
const MAX_LIST_MS = 30_000
const MAX_ERROR = 300

/** The tools of servers in one turn. A server that is away costs its tools and a warning. */
export function mcpTools(servers: McpServer[], turn: McpTurn): McpTools {
  const used = servers.map((server) => {
    const headers = 'url' in server ? fillHeaders(server.headers, turn) : {}
    return { server, key: listKey(server, headers), connection: connectionTo(server, headers) }
  })
  return {
    async toolsBeside(own) {
      const lists = await Promise.all(used.map((one) => listOf(one, turn)))
      const tools: Record<string, AgentTool> = {}
      for (const [at, one] of used.entries()) {
        const { server } = one
        const list = lists[at]
        if (list === undefined || list === 'away') {
          turn.warn(unavailable(server.name))
          continue
        }
        const leftOut = list.unusable.filter(server.tools)
        for (const definition of list.tools.filter(({ name }) => server.tools(name))) {
          const name = nameFor(server.name, definition.name)
          if (Object.hasOwn(own, name) || Object.hasOwn(tools, name)) leftOut.push(definition.name)
          else tools[name] = toolOf(name, definition, one, turn)
        }
        for (const name of leftOut) turn.warn(omitted(server.name, name))
      }
      return tools
    },
    async close() {
      await Promise.all(used.map(({ connection }) => connection.close()))
    },
  }
}

interface Used {
  server: McpServer
  key: string
  connection: McpConnection
}

async function listOf({ server, key, connection }: Used, { signal, log }: McpTurn): Promise<KnownList> {
  const known = knownLists.get(key)
  if (known !== undefined) return known
  const limit = Math.min(server.timeoutMs ?? LIST_MS, MAX_LIST_MS)
  let list: KnownList
  try {
    list = readDefinitions(await connection.list(AbortSignal.any([signal, AbortSignal.timeout(limit)])))
  } catch (error) {
    signal.throwIfAborted()
    log.warn(`The tools of the MCP server "${server.name}" could not be listed: ${nameOf(error)}`)
    list = 'away'
  }
  knownLists.set(key, list)
  return list
}

function toolOf(name: string, definition: McpDefinition, used: Used, turn: McpTurn): AgentTool {
  const { server } = used
  const pin = turn.pinned.get(name) ?? definition.pin
  return {
    description: definition.description,
    inputSchema: anyArguments(definition.inputSchema),
    pin,
    ...(server.timeoutMs === undefined ? {} : { timeoutMs: server.timeoutMs }),
    ...(server.needsApproval(definition.name) ? { needsApproval: true } : {}),
    execute: async (input, { signal }) => {
      await assertUnchanged(definition.name, pin, used, { ...turn, signal })
      return outputOf(
        await reached(used, { ...turn, signal }, () =>
          used.connection.call(definition.name, input as Record<string, unknown>, signal),
        ),
      )
    },
  }
}

/**
 * Reads the list of the server once more and compares the tool with what the model, and the person who has approved the
 * call, have gone by.
 * @throws ToolError when the tool has changed, or is gone
 */
async function assertUnchanged(tool: string, pin: string, used: Used, turn: McpTurn): Promise<void> {
  const list = readDefinitions(await reached(used, turn, () => used.connection.list(turn.signal)))
  knownLists.set(used.key, list)
  if (list.tools.some((one) => one.name === tool && one.pin === pin)) return
  throw new ToolError('The tool has changed since it was offered, so it was not called.')
}

/** @throws ToolError with the server's own words about the request, or that the server could not be reached */
async function reached<T>(
  { server, key }: Used,
  { signal, log, warn }: McpTurn,
  ask: () => Promise<T>,
): Promise<T> {
  try {
    return await ask()
  } catch (error) {
    signal.throwIfAborted()
    if (error instanceof ToolError) throw error
    if (MCPClientError.isInstance(error) && error.code !== undefined)
      throw new ToolError(head(error.message, MAX_ERROR))
    log.warn(`The MCP server "${server.name}" did not answer: ${nameOf(error)}`)
    knownLists.forget(key)
    warn(unavailable(server.name))
    throw new ToolError(`The server of this tool could not be reached.`)
  }
}

/** Shows the server's schema to the model. The server checks the arguments itself and says what is wrong with them. */
function anyArguments(schema: Record<string, unknown>): AgentTool['inputSchema'] {
  const safeParse = (data: unknown) => ({ success: true, data: data ?? {} })
  return { ...jsonSchema(schema), safeParse } as unknown as AgentTool['inputSchema']
}

const unavailable = (server: string): TurnWarning => ({
  code: 'mcp_unavailable',
  message: `The MCP server "${server}" could not be reached, so its tools were missing.`,
})
const omitted = (server: string, tool: string): TurnWarning => ({
  code: 'mcp_tool_left_out',
  message: `The tool "${head(tool, 100)}" of the MCP server "${server}" was left out: its name is taken, or its description cannot be used.`,
})
