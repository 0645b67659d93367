import { z } from 'zod'

/** A server of tools that speaks the Model Context Protocol, as the operator has configured it. */
export type McpServer = HttpServer | StdioServer

interface Common {
  /** Begins the names of the server's tools; without `_`, so that a name tells its server. */
  name: string
  /** The server's tools that agents have. */
  tools(tool: string): boolean
  /** The server's tools that wait for a yes. */
  needsApproval(tool: string): boolean
  /** The agents that have the tools. */
  agents(agent: string): boolean
  /** Milliseconds that one call may take; the agent's setting when absent. */
  timeoutMs?: number
}

export interface HttpServer extends Common {
  url: string
  /** Headers of every request, with the placeholders `{userId}` and `{context.x}`. */
  headers: Record<string, string>
}

export interface StdioServer extends Common {
  command: string
  args: string[]
  /** The whole environment of the server's process. */
  env: Record<string, string>
}

/** Variables that a server's process gets of the worker. None of them holds a credential. */
const INHERITED = ['PATH', 'HOME', 'USER', 'LOGNAME', 'SHELL', 'TERM', 'LANG', 'TZ', 'TMPDIR']

const patterns = z.array(z.string().min(1).max(200)).max(500)
const texts = z.record(z.string(), z.string())
const common = {
  name: z.string().regex(/^[a-z][a-z0-9-]{0,30}$/, 'must have lower-case letters, digits and -'),
  tools: patterns.optional(),
  needsApproval: patterns.optional(),
  agents: patterns.optional(),
  timeoutMs: z.int().min(100).max(3_600_000).optional(),
}
const entry = z.union([
  z.strictObject({
    ...common,
    url: z.string().refine(isAddress, 'must be http or https'),
    headers: texts.optional(),
  }),
  z.strictObject({
    ...common,
    command: z.string().min(1),
    args: z.array(z.string()).optional(),
    env: texts.optional(),
  }),
])
const MAX_SERVERS = 20

/**
 * Reads AGENT_MCP_SERVERS.
 * @param env the environment of the worker, of which a server's process gets a short list
 * @returns a sentence about the first fault, which shows no value
 */
export function parseServers(
  env: Record<string, string | undefined>,
): (text: string) => McpServer[] | string {
  return (text) => {
    const list = z.array(z.unknown()).max(MAX_SERVERS).safeParse(parsed(text))
    if (!list.success) return `must be a JSON list of at most ${MAX_SERVERS} servers`
    const servers: McpServer[] = []
    for (const [at, item] of list.data.entries()) {
      const { data, error } = entry.safeParse(item)
      if (data === undefined) return `server ${at + 1}: ${faultOf(item, error)}`
      if (servers.some(({ name }) => name === data.name)) return `server ${at + 1}: its name is taken`
      servers.push(serverOf(data, env))
    }
    return servers
  }
}

function serverOf(data: z.infer<typeof entry>, env: Record<string, string | undefined>): McpServer {
  const { name, tools = ['*'], needsApproval = [], agents = ['*'], timeoutMs } = data
  const shared = {
    name,
    tools: matcher(tools),
    needsApproval: matcher(needsApproval),
    agents: matcher(agents),
    ...(timeoutMs === undefined ? {} : { timeoutMs }),
  }
  if ('url' in data) return { ...shared, url: data.url, headers: data.headers ?? {} }
  const inherited = Object.fromEntries(
    INHERITED.flatMap((variable) => (env[variable] === undefined ? [] : [[variable, env[variable]]])),
  )
  return { ...shared, command: data.command, args: data.args ?? [], env: { ...inherited, ...data.env } }
}

/** Whether a name is one of the patterns, in which `*` stands for any characters. */
function matcher(wanted: string[]): (name: string) => boolean {
  const whole = wanted.map((pattern) => pattern.split('*').map(literal).join('.*'))
  const expression = new RegExp(`^(?:${whole.join('|')})$`, 's')
  return (name) => wanted.length > 0 && expression.test(name)
}

const literal = (text: string) => text.replace(/[.+?^${}()|[\]\\]/g, '\\$&')

function isAddress(text: string): boolean {
  if (!/^https?:/.test(text) || !URL.canParse(text)) return false
  const { username, password } = new URL(text)
  return username === '' && password === ''
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** Names the field at fault, and never its value: headers and variables hold keys. */
function faultOf(item: unknown, error: z.ZodError): string {
  const keys = typeof item === 'object' && item !== null ? Object.keys(item) : []
  if (keys.includes('url') === keys.includes('command')) return 'needs either `url` or `command`'
  const [first] = error.issues
  const branch = first?.code === 'invalid_union' ? first.errors[keys.includes('url') ? 0 : 1]?.[0] : first
  if (branch?.code === 'unrecognized_keys') return 'has a field that is not known'
  return `\`${branch?.path.join('.') ?? ''}\` cannot be used`
}
