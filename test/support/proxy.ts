import { once } from 'node:events'
import net from 'node:net'

/** A TCP proxy on loopback that can be cut and mended, to play an outage of the server behind it. */
export interface Proxy {
  /** `target` with the proxy's host and port. */
  url: string
  /** Refuses new connections and breaks the open ones. */
  cut(): Promise<void>
  /** Accepts and keeps connections, but passes nothing on. */
  hang(): void
  mend(): Promise<void>
}

export async function startProxy(t: { teardown(fn: () => unknown): void }, target: string): Promise<Proxy> {
  const { hostname, port } = new URL(target)
  const sockets = new Set<net.Socket>()
  let hanging = false
  const server = net.createServer((client) => {
    const upstream = net.connect(Number(port), hostname)
    for (const [socket, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(socket)
      if (hanging) socket.pause()
      socket.on('data', (data) => {
        if (!hanging) other.write(data)
      })
      socket.on('close', () => {
        sockets.delete(socket)
        other.destroy()
      })
      // The other end learns of the error when the connection closes.
      socket.on('error', () => {})
    }
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const own = (server.address() as net.AddressInfo).port
  const stop = async () => {
    for (const socket of sockets) socket.destroy()
    if (!server.listening) return
    server.close()
    await once(server, 'close')
  }
  t.teardown(stop)
  const url = new URL(target)
  url.hostname = '127.0.0.1'
  url.port = String(own)
  return {
    url: url.href.replace(/\/$/, ''),
    cut: stop,
    hang() {
      hanging = true
    },
    async mend() {
      hanging = false
      if (server.listening) {
        for (const socket of sockets) socket.destroy()
        return
      }
      server.listen(own, '127.0.0.1')
      await once(server, 'listening')
    },
  }
}
