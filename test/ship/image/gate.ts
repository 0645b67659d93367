import { fork } from 'node:child_process'
import { once } from 'node:events'
import { type AddressInfo, connect, createServer } from 'node:net'

export interface Gate {
  port: number
  /** From now on it leads to this port. */
  lead(to: number): void
  close(): void
}

/**
 * A fixed address in front of a server that comes and goes, and is somewhere else when it comes back. A process
 * of its own: the one that makes the load would delay what passes through.
 */
export async function startGate(target: number): Promise<Gate> {
  const child = fork(import.meta.filename, [String(target)])
  const [port] = await once(child, 'message')
  return {
    port: Number(port),
    lead: (to) => void child.send(to),
    close: () => void child.kill(),
  }
}

if (import.meta.main) {
  let target = Number(process.argv[2])
  process.on('message', (to) => {
    target = Number(to)
  })
  process.on('disconnect', () => process.exit())
  const server = createServer((socket) => {
    const through = connect(target, '127.0.0.1')
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
  process.send?.((server.address() as AddressInfo).port)
}
