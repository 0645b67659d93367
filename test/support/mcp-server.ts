import { spawn } from 'node:child_process'
import { createServer, type IncomingHttpHeaders } from 'node:http'
import type { AddressInfo } from 'node:net'
import { json } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import type { Teardown } from './service.ts'

/** The file of the reference server, whose argument names the transport. */
export const EVERYTHING = fileURLToPath(
  new URL('../../node_modules/@modelcontextprotocol/server-everything/dist/index.js', import.meta.url),
)

/** The reference server over streamable HTTP. @returns its address */
export async function startEverything(t: Teardown): Promise<string> {
  const port = await freePort()
  const child = spawn(process.execPath, [EVERYTHING, 'streamableHttp'], {
    env: { PATH: process.env.PATH, PORT: String(port) },
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  t.teardown(() => child.kill('SIGKILL'))
  await new Promise<void>((resolve) => {
    child.stderr.on('data', (text) => {
      if (/listening/.test(String(text))) resolve()
    })
  })
  return `http://127.0.0.1:${port}/mcp`
}

export interface FakeTool {
  description: string
  /** The result of a call, in the form of the protocol. */
  call(input: Record<string, unknown>): unknown
}

export interface FakeServer {
  url: string
  tools: Record<string, FakeTool>
  /** Names of the tools that were called. */
  called: string[]
  /** Methods of all requests, and their headers. */
  asked: string[]
  headers: IncomingHttpHeaders[]
}

/** A small MCP server over HTTP whose tools a test may change at any time. */
export async function startFakeServer(t: Teardown, tools: Record<string, FakeTool>): Promise<FakeServer> {
  const fake: FakeServer = { url: '', tools, called: [], asked: [], headers: [] }
  const answer = async (method: string, params: { name?: string; arguments?: object }) => {
    if (method === 'initialize')
      return {
        protocolVersion: '2025-11-25',
        capabilities: { tools: {} },
        serverInfo: { name: 'fake', version: '1' },
      }
    if (method === 'tools/list')
      return {
        tools: Object.entries(fake.tools).map(([name, { description }]) => ({
          name,
          description,
          inputSchema: { type: 'object', properties: { text: { type: 'string' } } },
        })),
      }
    fake.called.push(params.name ?? '')
    return fake.tools[params.name ?? '']?.call((params.arguments ?? {}) as Record<string, unknown>)
  }
  const server = createServer(async (request, response) => {
    fake.headers.push(request.headers)
    if (request.method !== 'POST') return response.writeHead(405).end()
    const {
      id,
      method,
      params = {},
    } = (await json(request)) as { id?: number; method: string; params?: object }
    fake.asked.push(method)
    if (id === undefined) return response.writeHead(202).end()
    const known = ['initialize', 'tools/list', 'tools/call'].includes(method)
    const reply = known
      ? { result: await answer(method, params) }
      : { error: { code: -32601, message: 'Method not found' } }
    response
      .writeHead(200, { 'content-type': 'application/json' })
      .end(JSON.stringify({ jsonrpc: '2.0', id, ...reply }))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  fake.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/mcp`
  return fake
}

export async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return port
}
