import { setTimeout as sleep } from 'node:timers/promises'
import { type Cluster, type Instance, request } from './cluster.ts'
import type { Report } from './report.ts'

const START = '/api/agent/chat'

function engineCalls(cluster: Cluster): number {
  const subscription = /realtime\/v1\/runs$/
  let calls = 0
  for (const { engine } of cluster.instances)
    for (const [name, count] of engine.requests) if (!subscription.test(name)) calls += count
  return calls
}

/** Shows that polls make no call of the engine. */
export async function runPollers(
  cluster: Cluster,
  report: Report,
  { pollers, seconds }: { pollers: number; seconds: number },
): Promise<void> {
  const [instance] = cluster.instances as [Instance]
  const { body } = await request(instance, 'POST', START, {
    body: { message: 'Tell a story with 1500 sentences.' },
  })
  await sleep(2_000)

  async function watch(count: number): Promise<{ calls: number; polls: number }> {
    const before = engineCalls(cluster)
    const until = Date.now() + seconds * 1_000
    let polls = 0
    const poll = async () => {
      while (Date.now() < until) {
        await request(instance, 'GET', `${START}/${body.runId}`)
        polls += 1
        await sleep(250)
      }
    }
    await Promise.all([sleep(seconds * 1_000), ...Array.from({ length: count }, poll)])
    return { calls: engineCalls(cluster) - before, polls }
  }

  const without = await watch(0)
  const with_ = await watch(pollers)
  report.note(
    `${pollers} pollers, ${with_.polls} polls in ${seconds} s: ${with_.calls} engine calls; without pollers ${without.calls}`,
  )
  // The sweeper's own calls may happen in either of the two measurements.
  report.result(`${pollers} pollers cost the engine no call`, with_.calls <= without.calls + 2)
  await request(instance, 'POST', `${START}/${body.runId}/cancel`)
}

/** Measures how many engine calls one run costs from its start to its end while a caller polls it every second. */
export async function runManyRuns(
  cluster: Cluster,
  report: Report,
  { runs }: { runs: number },
): Promise<void> {
  const some = (n: number) => cluster.instances[n % cluster.instances.length] as Instance
  await sleep(2_000)
  const before = engineCalls(cluster)
  const startedAt = performance.now()
  let polls = 0
  let completed = 0
  await Promise.all(
    Array.from({ length: runs }, async (_, n) => {
      const body = { message: 'What is 12 * 12?' }
      const key = `many-${n}`
      let started = await request(some(n), 'POST', START, { body, key })
      while (started.status !== 202) {
        await sleep(1_000)
        started = await request(some(n), 'POST', START, { body, key })
      }
      for (;;) {
        await sleep(1_000)
        const { status, body: run } = await request(some(n), 'GET', `${START}/${started.body.runId}`)
        polls += 1
        if (status !== 200) continue
        if (run.status === 'completed') completed += 1
        if (run.status !== 'queued' && run.status !== 'running') return
      }
    }),
  )
  const calls = engineCalls(cluster) - before
  const seconds = (performance.now() - startedAt) / 1_000
  report.note(
    `${runs} runs at once, each polled every second: ${completed} completed in ${seconds.toFixed(0)} s, ${polls} polls, ${calls} engine calls`,
  )
  report.result(
    `a run costs at most 4 engine calls (${(calls / runs).toFixed(2)})`,
    calls / runs <= 4 && completed === runs,
  )
}
