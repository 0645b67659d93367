import { once } from 'node:events'
import { type AddressInfo, connect, createServer } from 'node:net'

/** A fixed address in front of a server that comes and goes, and is somewhere else when it comes back. */
export async function startGate(target: number) {
  let current = target
  const server = createServer((socket) => {
    const through = connect(current, '127.0.0.1')
    for (const [one, other] of [
      [socket, through],
      [through, socket],
    ] as const) {
      one.on('error', () => {})
      one.on('close', () => other.destroy())
    }
    socket.pipe(through).pipe(socket)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    port: (server.address() as AddressInfo).port,
    lead(to: number) {
      current = to
    },
    close: () => server.close(),
  }
}
