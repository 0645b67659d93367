// npm run bench: how many turns an instance starts and how fast it answers polls, on embedded Postgres and engine.
import { type Instance, request, startCluster } from '../test/chaos/cluster.ts'

const STARTS = 400
const POLLS = 2_000

const cluster = await startCluster(1, { LOG_LEVEL: 'silent' })
try {
  const [instance] = cluster.instances as [Instance]
  const start = () => request(instance, 'POST', '/api/agent/chat', { body: { message: 'hello' } })
  const { body } = await start()
  const poll = () => request(instance, 'GET', `/api/agent/chat/${body.runId}`)
  const rows = []
  for (const parallel of [1, 8, 32]) {
    rows.push({ what: `start, ${parallel} at a time`, ...(await measure(start, STARTS, parallel)) })
  }
  for (const parallel of [1, 32]) {
    rows.push({ what: `poll, ${parallel} at a time`, ...(await measure(poll, POLLS, parallel)) })
  }
  console.table(rows)
} finally {
  await cluster.stop()
}
process.exit(0)

/** Latencies in milliseconds. */
async function measure(work: () => Promise<{ status: number }>, count: number, parallel: number) {
  const times: number[] = []
  let left = count
  let failed = 0
  const startedAt = performance.now()
  const lane = async () => {
    while (left-- > 0) {
      const from = performance.now()
      if ((await work()).status >= 300) failed += 1
      times.push(performance.now() - from)
    }
  }
  await Promise.all(Array.from({ length: parallel }, lane))
  const seconds = (performance.now() - startedAt) / 1_000
  times.sort((a, b) => a - b)
  const quantile = (q: number) => Number((times[Math.floor(q * (times.length - 1))] ?? 0).toFixed(1))
  return { perSecond: Math.round(count / seconds), p50: quantile(0.5), p99: quantile(0.99), failed }
}
