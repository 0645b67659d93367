import { setTimeout as sleep } from 'node:timers/promises'
import { type Answer, type Cluster, type Instance, request } from './cluster.ts'
import type { Report } from './report.ts'

const PARALLEL = 50

/** Fifty parallel starts with one key over all instances, in good and bad times. */
export async function runSingleStarts(cluster: Cluster, report: Report): Promise<void> {
  const [victim] = cluster.instances as [Instance]
  const client = await cluster.connect()

  async function fifty(key: string): Promise<Answer[]> {
    return Promise.all(
      Array.from({ length: PARALLEL }, async (_, n) => {
        for (;;) {
          const instance = cluster.instances[n % cluster.instances.length] as Instance
          const body = { message: `What is 6 * 7? ${key}` }
          const answer = await request(instance, 'POST', '/api/agent/chat', { body, key }).catch(
            () => undefined,
          )
          if (answer !== undefined && !answer.body.retryable) return answer
          await sleep(200)
        }
      }),
    )
  }

  async function judge(claim: string, key: string, answers: Answer[]): Promise<void> {
    const bodies = new Set(answers.map(({ body }) => JSON.stringify(body)))
    const { rows } = await client.query('select id, run_id from runs where idempotency_key = $1', [key])
    const response = await fetch(`${cluster.engine.url}/api/v1/runs?filter[tag]=turn_${rows[0]?.id}`, {
      headers: { authorization: `Bearer ${cluster.engine.secretKey}` },
    })
    const { data } = (await response.json()) as { data: unknown[] }
    report.note(
      `${answers.length} answers, ${bodies.size} different; ${rows.length} row, ${data.length} run in the engine`,
    )
    report.result(claim, bodies.size === 1 && rows.length === 1 && data.length === 1)
  }

  try {
    await judge(
      `${PARALLEL} parallel starts with one key: one run, equal bodies`,
      'calm',
      await fifty('calm'),
    )

    for (const { engine } of cluster.instances) engine.toxics.swallowAnswers = true
    const mended = sleep(11_000).then(() => cluster.mend())
    const lost = await fifty('lost')
    await mended
    await judge('the same when the engine takes the run and its answer is lost', 'lost', lost)

    const restarted = sleep(150).then(async () => {
      await victim.process.kill()
      await victim.process.start()
    })
    const killed = await fifty('killed')
    await restarted
    await judge('the same when an instance is killed meanwhile', 'killed', killed)
  } finally {
    await client.end()
  }
}
