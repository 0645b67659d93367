import { setTimeout as sleep } from 'node:timers/promises'
import { type Answer, type Cluster, type Instance, request } from './cluster.ts'
import { engineRuns } from './engine-runs.ts'
import type { Report } from './report.ts'

const PARALLEL = 50

/** Sends fifty parallel starts with one key over all instances: undisturbed, and during failures. */
export async function runSingleStarts(cluster: Cluster, report: Report): Promise<void> {
  const [victim] = cluster.instances as [Instance]
  const client = await cluster.connect()

  async function fifty(key: string, message: string): Promise<Answer[]> {
    return Promise.all(
      Array.from({ length: PARALLEL }, async (_, n) => {
        for (;;) {
          const instance = cluster.instances[n % cluster.instances.length] as Instance
          // Each key has its own user, so that each user starts with an unused rate limit.
          const options = { user: key, body: { message }, key }
          const answer = await request(instance, 'POST', '/api/agent/chat', options).catch(() => undefined)
          if (answer !== undefined && !answer.body.retryable) return answer
          await sleep(200)
        }
      }),
    )
  }

  async function judge(claim: string, key: string, answers: Answer[], status: string): Promise<void> {
    const bodies = new Set(answers.map(({ body }) => JSON.stringify(body)))
    const [first] = answers
    const runId = first?.body.runId
    const end = await ended(cluster.instances.at(-1) as Instance, key, runId)
    const { rows } = await client.query('select id, run_id from turns where idempotency_key = $1', [key])
    const runs = (await engineRuns(cluster, { tag: `turn_${rows[0]?.id}` })).filter(
      (run) => run.status !== 'CANCELED',
    )
    report.note(
      `${answers.length} answers, ${bodies.size} different; ${rows.length} row, ${runs.length} run in the engine, ${end}`,
    )
    const single = bodies.size === 1 && rows.length === 1 && runs.length === 1
    report.result(claim, single && runs[0]?.id === runId && end === status)
  }

  /** Kills an instance and starts it again. */
  async function crashAfter(ms: number): Promise<void> {
    await sleep(ms)
    await victim.process.kill()
    await victim.process.start()
  }

  try {
    const calm = await fifty('calm', 'What is 6 * 7?')
    await judge(`${PARALLEL} parallel starts with one key: one run, equal bodies`, 'calm', calm, 'completed')

    for (const { engine } of cluster.instances) engine.toxics.swallowAnswers = true
    const mended = sleep(11_000).then(() => cluster.mend())
    const lost = await fifty('lost', 'What is 6 * 8?')
    await mended
    await judge("one run also when the engine's answers are lost", 'lost', lost, 'completed')

    const restarted = crashAfter(150)
    const killed = await fifty('killed', 'What is 6 * 9?')
    await restarted
    await judge('one run also when an instance is killed meanwhile', 'killed', killed, 'completed')

    for (const ms of [50, 150, 400]) {
      const key = `failed-${ms}`
      const crashed = crashAfter(ms)
      const failed = await fifty(key, '[[fail:400]] What is 6 * 6?')
      await crashed
      await judge(
        `one run also when the run fails and an instance is killed after ${ms} ms`,
        key,
        failed,
        'failed',
      )
    }
  } finally {
    await client.end()
  }
}

async function ended(instance: Instance, user: string, runId: string): Promise<string> {
  for (;;) {
    const { body } = await request(instance, 'GET', `/api/agent/chat/${runId}?wait=10`, { user })
    if (body.status !== 'queued' && body.status !== 'running') return body.status
  }
}
