import { randomUUID } from 'node:crypto'
import { type Answer, type Cluster, type Instance, request } from './cluster.ts'
import { callEngine } from './engine-runs.ts'
import type { Report } from './report.ts'

/** Unfinished runs that a conversation may have. */
const LIMIT = 10
const START = '/api/agent/chat'

interface Message {
  role: string
  text: string
  run_id: string
}

/** Sends as many parallel messages into one conversation as it may hold unfinished, over all instances, and one more. */
export async function runQueue(cluster: Cluster, report: Report): Promise<void> {
  const [first] = cluster.instances as [Instance]
  const some = (n: number) => cluster.instances[n % cluster.instances.length] as Instance
  const client = await cluster.connect()
  try {
    const { body } = await request(first, 'POST', '/api/agent/conversations', { body: {} })
    const conversationId = body.id ?? body.conversationId
    const say = (n: number): Promise<Answer> =>
      request(some(n), 'POST', START, {
        body: { message: `This is message ${n}. What was my last message?`, conversationId },
        key: randomUUID(),
      })

    // The workers are stopped, so that no run begins while the messages come in.
    for (const pid of cluster.engine.workers()) process.kill(pid, 'SIGSTOP')
    const answers = await Promise.all(Array.from({ length: LIMIT }, (_, n) => say(n)))
    const refused = await say(LIMIT)
    for (const pid of cluster.engine.workers()) process.kill(pid, 'SIGCONT')
    report.result(
      `${LIMIT} parallel messages into one conversation are accepted (${answers.map(({ status }) => status).join(' ')})`,
      answers.every(({ status }) => status === 202),
    )
    report.result(
      `the message beyond the limit is refused with ${refused.status} ${refused.body.code}`,
      refused.status === 409 && refused.body.code === 'conversation_queue_full',
    )

    const runIds: string[] = answers.map((answer) => answer.body.runId)
    const ends = await Promise.all(runIds.map((runId, n) => ended(some(n), runId)))
    report.result(
      'all accepted messages are answered',
      ends.every((status) => status === 'completed'),
    )
    const { rows } = await client.query<Message>(
      `select role, text, runs.run_id from messages join runs on runs.turn_id = messages.turn_id
       where messages.conversation_id = $1 order by messages.position, seq`,
      [conversationId],
    )
    const roles = rows.map(({ role }) => role)
    report.result(
      'every message is followed by its answer',
      roles.length === 2 * LIMIT && roles.every((role, n) => role === (n % 2 === 0 ? 'user' : 'assistant')),
    )
    const said = rows.filter(({ role }) => role === 'user')
    const answered = rows.filter(({ role }) => role === 'assistant')
    const knows = answered.filter(({ text }, n) => text.includes(said[n - 1]?.text ?? 'not said anything'))
    report.result(`each answer knows the message before it (${knows.length} do)`, knows.length === LIMIT)
    let complete = 0
    for (const [n, { run_id }] of said.entries()) {
      const told = await toldTo(cluster, run_id)
      if (JSON.stringify(told) === JSON.stringify(said.slice(0, n).map(({ text }) => text))) complete += 1
    }
    report.result(
      `each worker was told of all messages before its own (${complete} were)`,
      complete === LIMIT,
    )
    const times = await Promise.all(runIds.map((runId) => executed(cluster, runId)))
    const inOrder = said.map(({ run_id }) => times[runIds.indexOf(run_id)] ?? { from: 0, to: 0 })
    report.result(
      'the runs are executed one after the other',
      inOrder.every(({ from }, n) => from >= (inOrder[n - 1]?.to ?? 0)),
    )
  } finally {
    await client.end()
  }
}

async function ended(instance: Instance, runId: string): Promise<string> {
  for (;;) {
    const { body } = await request(instance, 'GET', `${START}/${runId}?wait=10`)
    if (body.status !== 'queued' && body.status !== 'running') return body.status
  }
}

/** The user's messages in the payload of a run, and those of the runs ahead for which its worker asks the engine. */
async function toldTo(cluster: Cluster, runId: string): Promise<string[]> {
  const { payload } = await callEngine(cluster.engine, 'GET', `/api/v3/runs/${runId}`)
  const { history, ahead } = payload.json ?? payload
  const told = history.filter(({ role }: { role: string }) => role === 'user').map(textOf)
  for (const id of ahead) {
    const { payload: other } = await callEngine(cluster.engine, 'GET', `/api/v3/runs/${id}`)
    told.push(textOf((other.json ?? other).message))
  }
  return told
}

const textOf = ({ parts }: { parts: Array<{ text: string }> }): string =>
  parts.map(({ text }) => text).join('')

async function executed(cluster: Cluster, runId: string): Promise<{ from: number; to: number }> {
  const { startedAt, finishedAt } = await callEngine(cluster.engine, 'GET', `/api/v3/runs/${runId}`)
  return { from: Date.parse(startedAt), to: Date.parse(finishedAt) }
}
