import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { type MCPTransport, validateJSONRPCMessage } from '@ai-sdk/mcp'
import type { StdioServer } from './servers.ts'

/** Bytes of one message of a server. */
const MAX_MESSAGE = 4 * 1024 * 1024
/** How long a server may take to end by itself when its input has ended, and after SIGTERM. */
const END_MS = 500

/**
 * The connection to a server that runs as a child of this process, one JSON message a line. The package's own transport
 * bounds no message, and leaves a server running that ignores SIGTERM.
 *
 * The child stays in the process group of the worker, and its input ends with the worker.
 */
export function stdioTransport({
  command,
  args,
  env,
}: Pick<StdioServer, 'command' | 'args' | 'env'>): MCPTransport {
  let child: ChildProcess | undefined
  const transport: MCPTransport = {
    supportsProtocolVersionDiscovery: true,
    async start() {
      child = spawn(command, args, { env, stdio: ['pipe', 'pipe', 'ignore'] })
      child.once('close', () => transport.onclose?.())
      child.on('error', (error) => transport.onerror?.(error))
      child.stdin?.on('error', (error) => transport.onerror?.(error))
      child.stdout?.on('data', lines(receive, tooLong))
      await once(child, 'spawn')
    },
    async send(message) {
      if (!child?.stdin?.writable) throw new Error('The server has ended.')
      child.stdin.write(`${JSON.stringify(message)}\n`)
    },
    async close() {
      if (child !== undefined) await end(child)
    },
  }
  function receive(line: string): void {
    try {
      transport.onmessage?.(validateJSONRPCMessage(JSON.parse(line)))
    } catch (error) {
      // A line that is no message is passed over: some programs print notes.
      transport.onerror?.(error as Error)
    }
  }
  function tooLong(): void {
    child?.kill('SIGKILL')
  }
  return transport
}

/** Ends a server: its input ends, then it is told to end, then it is ended. */
async function end(child: ChildProcess): Promise<void> {
  const isOver = () => child.pid === undefined || child.exitCode !== null || child.signalCode !== null
  if (isOver()) return
  const ended = once(child, 'exit').then(() => {})
  const within = () => Promise.race([ended, sleep(END_MS, undefined, { ref: false })])
  child.stdin?.end()
  await within()
  for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
    if (isOver()) return
    child.kill(signal)
    await within()
  }
}

/** Splits what arrives into lines, of at most `MAX_MESSAGE` bytes each. */
function lines(onLine: (line: string) => void, onTooLong: () => void): (chunk: Buffer) => void {
  let rest: Buffer[] = []
  let size = 0
  return (chunk) => {
    let from = 0
    for (let at = chunk.indexOf('\n'); at !== -1; at = chunk.indexOf('\n', from)) {
      const line = Buffer.concat([...rest, chunk.subarray(from, at)])
      rest = []
      size = 0
      from = at + 1
      if (line.length > 0) onLine(line.toString())
    }
    rest.push(chunk.subarray(from))
    size += chunk.length - from
    if (size > MAX_MESSAGE) onTooLong()
  }
}
