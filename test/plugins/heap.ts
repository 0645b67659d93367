import { once } from 'node:events'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { setImmediate as turn } from 'node:timers/promises'
import { buildApp } from '../../src/app.ts'
import { testConfig } from '../support/app.ts'
import { token } from '../support/tokens.ts'

/**
 * A process of its own, run with --expose-gc: asks a service for many things at once, sends it large bodies, and
 * prints by how many bytes its heap has grown in the end.
 *
 * Arguments: tokens verified at once, refused bodies, accepted bodies.
 */
const [tokens = 0, refused = 0, accepted = 0] = process.argv.slice(2).map(Number)
const CONNECTIONS = 16
const BYTES = 2 * 1024 * 1024

const app = buildApp(testConfig({ rateLimit: { readMax: 1_000_000, startMax: 1_000_000 } }))
app.post(
  '/taken',
  { config: { scope: 'agent:write', bucket: 'read' }, schema: { body: {} } },
  async () => ({}),
)
await app.listen({ host: '127.0.0.1', port: 0 })
const { port } = app.server.address() as AddressInfo
const authorization = `Bearer ${token()}`

/** Bodies of 2 MiB of every shape that is costly to keep, and the address that refuses or takes them. */
const bodies = [
  `{"message":1,"history":${'['.repeat(BYTES / 2 - 50)}${']'.repeat(BYTES / 2 - 50)}}`,
  `{"message":1,"history":[${'[],'.repeat(BYTES / 3 - 50)}[]]}`,
  `{"message":1,"metadata":"${'x'.repeat(BYTES - 100)}"}`,
  `{"message":"m"${Array.from({ length: 5000 }, (_, index) => `,"field${index}":{}`).join('')}}`,
].map((text) => Buffer.from(text))

const head = (path: string, length: number) =>
  `POST ${path} HTTP/1.1\r\nhost: x\r\nauthorization: ${authorization}\r\ncontent-type: application/json\r\ncontent-length: ${length}\r\n\r\n`

/** Sends requests one after the other on one connection. */
async function send(path: string, count: number, first: number): Promise<void> {
  const socket = await dial()
  for (let index = 0; index < count; index++) {
    const body = bodies[(first + index) % bodies.length] ?? Buffer.alloc(0)
    socket.write(head(path, body.length))
    socket.write(body)
    await answered(socket, 1)
  }
  socket.destroy()
}

async function dial(): Promise<Socket> {
  const socket = connect(port, '127.0.0.1')
  await once(socket, 'connect')
  return socket
}

/** Waits for answers; each of them begins with the same line. */
async function answered(socket: Socket, count: number): Promise<void> {
  for (let seen = 0; seen < count; ) {
    const [piece] = (await once(socket, 'data')) as [Buffer]
    seen += piece.toString('latin1').split('HTTP/1.1 ').length - 1
  }
}

async function onAll(path: string, count: number): Promise<void> {
  const share = Math.ceil(count / CONNECTIONS)
  await Promise.all(Array.from({ length: CONNECTIONS }, (_, index) => send(path, share, index)))
}

async function heap(): Promise<number> {
  for (let round = 0; round < 5; round++) {
    await turn()
    globalThis.gc?.()
  }
  return process.memoryUsage().heapUsed
}

// Every kind of request once, so that what is made only once does not count.
await send('/api/agent/chat', 2, 3)
await send('/taken', 1, 3)
const before = await heap()
const pipeline = await dial()
const get = `GET /api/agent/chat/no-run HTTP/1.1\r\nhost: x\r\nauthorization: ${authorization}\r\n\r\n`
pipeline.write(get.repeat(tokens))
await answered(pipeline, tokens)
pipeline.destroy()
await onAll('/api/agent/chat', refused)
await onAll('/taken', accepted)
console.log(JSON.stringify({ grown: (await heap()) - before }))
process.exit(0)
