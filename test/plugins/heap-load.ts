import { once } from 'node:events'
import { Agent, type IncomingMessage, request } from 'node:http'
import { connect } from 'node:net'

export const BODY_BYTES = 2 * 1024 * 1024
const CONNECTIONS = 16
/** Streams that are open at the same time. */
const VIEWERS = 100

/** What is sent to one service, with one token. */
export interface Load {
  port: number
  authorization: string
}

export interface Post {
  path: string
  body: Buffer
  headers?: Record<string, string>
}

/** Sends requests in one segment on one connection, and waits for all answers. */
export async function pipeline({ port, authorization }: Load, count: number): Promise<void> {
  const socket = connect(port, '127.0.0.1')
  const get = `GET /api/agent/chat/no-run HTTP/1.1\r\nhost: x\r\nauthorization: ${authorization}\r\n\r\n`
  socket.write(get.repeat(count))
  let tail = ''
  for (let seen = 0; seen < count; ) {
    const [piece] = (await once(socket, 'data')) as [Buffer]
    const text = tail + piece.toString('latin1')
    const beginnings = text.split('HTTP/1.1 4')
    seen += beginnings.length - 1
    // A beginning may be cut in two.
    tail = (beginnings.at(-1) ?? '').slice(-'HTTP/1.1 '.length)
  }
  socket.destroy()
}

/** Sends each of the bodies in turn, over parallel connections, and counts what they are answered with. */
export async function postAll(load: Load, posts: Post[], count: number): Promise<Record<string, number>> {
  const agent = new Agent({ keepAlive: true, maxSockets: CONNECTIONS })
  const outcomes: Record<string, number> = {}
  const turns = Array.from({ length: count }, (_, index) => posts[index % posts.length] as Post).values()
  await Promise.all(
    Array.from({ length: CONNECTIONS }, async () => {
      for (const { path, body, headers } of turns) {
        const answer = await ask(load, { method: 'POST', path, agent, body, ...(headers && { headers }) })
        const text = Buffer.concat(await answer.toArray()).toString()
        const code = text.match(/"code":"(\w+)"/)?.[1]
        const outcome = [answer.statusCode, path, ...(code === undefined ? [] : [code])].join(' ')
        outcomes[outcome] = (outcomes[outcome] ?? 0) + 1
      }
    }),
  )
  agent.destroy()
  return outcomes
}

/** Opens streams of these runs and cuts each one after its first words, by an end or by a reset. */
export async function openAndCut(load: Load, runIds: string[], count: number): Promise<void> {
  const agent = new Agent({ maxSockets: VIEWERS })
  const turns = Array.from({ length: count }, (_, index) => index).values()
  await Promise.all(
    Array.from({ length: VIEWERS }, async () => {
      for (const index of turns) {
        const runId = runIds[index % runIds.length]
        const answer = await ask(load, { method: 'GET', path: `/api/agent/chat/${runId}/stream`, agent })
        if (answer.statusCode !== 200) throw new Error(`a stream was answered with ${answer.statusCode}`)
        answer.on('error', () => {}) // It is cut below.
        await once(answer, 'data')
        if (index % 2 === 0) answer.destroy()
        else answer.socket?.resetAndDestroy() // None where the answer is over.
      }
    }),
  )
  agent.destroy()
}

interface Ask {
  method: string
  path: string
  agent: Agent
  body?: Buffer
  headers?: Record<string, string>
}

function ask({ port, authorization }: Load, { body, headers, ...options }: Ask): Promise<IncomingMessage> {
  const length =
    body === undefined ? {} : { 'content-type': 'application/json', 'content-length': body.length }
  return new Promise((resolve, reject) => {
    request(
      { ...options, port, host: '127.0.0.1', headers: { authorization, ...length, ...headers } },
      resolve,
    )
      .once('error', reject)
      .end(body)
  })
}

const filled = (json: string) => json.replace('FILL', 'x'.repeat(Math.max(1, BODY_BYTES - json.length - 100)))
const nested = (depth: number) => `${'['.repeat(depth)}${']'.repeat(depth)}`
const wide = (item: string, count: number) => `[${`${item},`.repeat(count - 1)}${item}]`
const fields = Array.from({ length: 19_000 }, (_, index) => `"field${index}":{}`).join()

/** Bodies of 2 MiB that the start refuses: as nested, wide and long as is parsed, and some that are not parsed. */
export const refusedBodies = (): Post[] =>
  [
    `{"message":1,"fill":"FILL","history":${nested(240_000)}}`,
    `{"message":1,"fill":"FILL","history":${wide('[]', 120_000)}}`,
    `{"message":1,"metadata":"FILL"}`,
    `{"message":"m","fill":"FILL",${fields}}`,
    `{"message":1,"history":${nested(BODY_BYTES / 2 - 50)}}`,
    `{"message":1,"history":${wide('{}', BODY_BYTES / 3 - 50)}}`,
  ].map((text) => ({ path: '/api/agent/chat', body: Buffer.from(filled(text)) }))

/** Bodies of 2 MiB that are accepted. Each has a key, so that it costs one run however often it is sent. */
export function acceptedBodies(): Post[] {
  const last = '{"id":"1","role":"user","parts":[{"type":"text","text":"What is 2 + 3?"}]}'
  const page = (earlier: string) => [
    '/api/agent/chat/stream',
    `{"id":"FILL","messages":[${earlier},${last}]}`,
  ]
  const history = Array.from({ length: 200 }, () => ({ role: 'user', content: 'x'.repeat(10_400) }))
  return [
    ['/api/agent/chat', JSON.stringify({ message: 'What is 2 + 3?', history })],
    page(nested(240_000)),
    page(`{"role":"assistant","parts":${wide('{}', 120_000)}}`),
    page(`{"role":"assistant","parts":[{${fields}},{"type":"text","text":"long"}]}`),
  ].map(([path = '', text = ''], index) => ({
    path,
    body: Buffer.from(filled(text)),
    headers: { 'idempotency-key': `accepted-${index}` },
  }))
}
