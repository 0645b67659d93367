import { once } from 'node:events'
import { Agent, get } from 'node:http'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { startServer } from '../parts/child.ts'
import { spread } from '../parts/figures.ts'
import type { Trial } from './trial.ts'

const CALLERS = 20

/** Measures polls of an instance before and after its Redis is cut off. It needs a Redis at TEST_REDIS_URL. */
export const redis: Trial = {
  name: 'Redis goes away',
  async run({ settings, authorization, rows, ms }) {
    const address = process.env.TEST_REDIS_URL
    if (address === undefined) return { skipped: 'TEST_REDIS_URL is not set' }
    const line = await breakableLine(new URL(address))
    const service = await startServer(
      'service with Redis',
      'parts/service.ts',
      { ...settings, REDIS_URL: `redis://127.0.0.1:${line.port}` },
      '/dev/null',
    )
    const agent = new Agent({ keepAlive: true, maxSockets: CALLERS })
    let isOver = false
    let times: number[] = []
    const poll = async () => {
      const since = performance.now()
      const request = get(`${service.url}/api/agent/chat/${rows.small}`, {
        agent,
        headers: { authorization },
      })
      const [response] = await once(request, 'response')
      response.resume()
      await once(response, 'end')
      if (response.statusCode !== 200) throw new Error(`a poll was answered with ${response.statusCode}`)
      times.push(performance.now() - since)
    }
    const callers = Array.from({ length: CALLERS }, async () => {
      while (!isOver) await poll()
    })
    const during = async () => {
      times = []
      await new Promise((resolve) => setTimeout(resolve, ms))
      const { median, max } = spread(times)
      return `${median.toFixed(1)} ms, slowest ${max.toFixed(0)} ms, of ${times.length}`
    }
    try {
      await during() // This round warms the instance up.
      const before = await during()
      line.cut()
      const after = await during()
      isOver = true
      await Promise.all(callers)
      return { 'polls with Redis': before, 'polls from the moment when Redis is killed': after }
    } finally {
      agent.destroy()
      line.close()
      await service.stop()
    }
  },
}

/** A proxy before a server that can be cut. After the cut every connection is closed. */
async function breakableLine({ hostname, port }: URL) {
  const open = new Set<Socket>()
  let isCut = false
  const server = createServer((client) => {
    if (isCut) return void client.destroy()
    const upstream = connect(Number(port || 6379), hostname)
    for (const socket of [client, upstream]) open.add(socket.on('error', () => {}))
    client.pipe(upstream).pipe(client)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const cut = () => {
    isCut = true
    for (const socket of open) socket.destroy()
  }
  return {
    port: (server.address() as AddressInfo).port,
    cut,
    close() {
      cut()
      server.close()
    },
  }
}
