import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'

/** What the proxy does to the bytes of every connection, open connections included. */
export interface Toxics {
  /** Milliseconds by which the proxy delays each piece, in both directions. */
  delayMs: number
  /** The proxy passes requests on and drops the answers. The server has acted, and the client does not know it. */
  swallowAnswers: boolean
  /** The proxy passes nothing on in either direction and closes no connection, like a half-open network. */
  hang: boolean
}

export interface ToxicProxy {
  /** The target's address with the host and port of this proxy. */
  url: string
  toxics: Toxics
  /** How many HTTP requests the proxy has passed on, by `METHOD path-without-ids`. */
  requests: Map<string, number>
  /** Closes all connections and refuses new ones. */
  cut(): Promise<void>
  /** Listens again on the same port, with no toxics. */
  mend(): Promise<void>
  /** Connects later connections to this address. */
  retarget(url: string): void
  stop(): Promise<void>
}

const HEALTHY: Toxics = { delayMs: 0, swallowAnswers: false, hang: false }
const REQUEST_LINE = /(?:^|\r\n|\n|\})(GET|POST|PUT|DELETE) (\/\S*) HTTP\/1\.1\r\n/g

/** A proxy on loopback between two processes that can be made to misbehave. */
export async function startToxicProxy(target: string): Promise<ToxicProxy> {
  let { hostname, port } = new URL(target)
  const toxics = { ...HEALTHY }
  const requests = new Map<string, number>()
  const sockets = new Set<Socket>()

  const server = createServer((client) => {
    const upstream = connect(Number(port), hostname)
    for (const socket of [client, upstream]) {
      sockets.add(socket)
      socket.setNoDelay(true)
      socket.on('error', () => {})
      socket.on('close', () => sockets.delete(socket))
    }
    pass(client, upstream, 'request')
    pass(upstream, client, 'answer')
  })

  function pass(from: Socket, to: Socket, direction: 'request' | 'answer'): void {
    let line = Promise.resolve()
    const inOrder = (work: () => void) => {
      const due = performance.now() + toxics.delayMs
      line = line.then(async () => {
        const left = due - performance.now()
        if (left > 0) await new Promise((resolve) => setTimeout(resolve, left))
        work()
      })
    }
    from.on('data', (bytes) => {
      if (toxics.hang || (toxics.swallowAnswers && direction === 'answer')) from.pause()
      else {
        if (direction === 'request') count(bytes)
        inOrder(() => void (to.destroyed || to.write(bytes)))
      }
    })
    from.on('end', () => inOrder(() => to.end()))
    from.on('close', () => inOrder(() => to.destroy()))
  }

  function count(bytes: Buffer): void {
    for (const [, method, path = ''] of bytes.toString('latin1').matchAll(REQUEST_LINE)) {
      const name = `${method} ${path.split('?')[0]?.replace(/run_[a-z0-9]+/gi, ':id')}`
      requests.set(name, (requests.get(name) ?? 0) + 1)
    }
  }

  async function listen(at: number): Promise<void> {
    server.listen(at, '127.0.0.1')
    await once(server, 'listening')
  }

  await listen(0)
  const own = (server.address() as AddressInfo).port
  const through = new URL(target)
  through.hostname = '127.0.0.1'
  through.port = String(own)

  async function cut(): Promise<void> {
    const closed = server.listening ? new Promise((resolve) => server.close(resolve)) : undefined
    for (const socket of sockets) socket.destroy()
    await closed
  }

  return {
    url: through.href.replace(/\/$/, ''),
    toxics,
    requests,
    cut,
    async mend() {
      // A connection on which bytes were dropped cannot be used any more.
      if (toxics.hang || toxics.swallowAnswers) for (const socket of sockets) socket.destroy()
      Object.assign(toxics, HEALTHY)
      if (!server.listening) await listen(own)
    },
    retarget(to) {
      ;({ hostname, port } = new URL(to))
    },
    stop: cut,
  }
}
