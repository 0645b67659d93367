import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Answer, type Cluster, type Instance, request } from './cluster.ts'

/** What a caller remembers of a start that was accepted. */
export interface Accepted {
  user: string
  key: string
  /** The caller's own name of the conversation, and the turn's number in it. */
  thread: number
  turn: number
  message: string
  runId: string
  conversationId: string | undefined
  acceptedAt: number
}

export interface CallerLog {
  accepted: Accepted[]
  /** Answers to repetitions of one start that differ. */
  contradictions: string[]
  requests: number
  retried: number
}

export interface CallerOptions {
  threads: number
  turns: number
  /** Threads at a time. */
  parallel: number
  /** No start is begun after this moment. */
  until: number
  random: () => number
}

/** A start must be accepted this long after the last misfortune at the latest. */
const PATIENCE_MS = 45_000

/**
 * Callers that hold conversations and want every message answered once: they repeat a start with its key until
 * it is accepted, some send it twice at once, some lose patience and ask again.
 */
export async function converse(cluster: Cluster, options: CallerOptions): Promise<CallerLog> {
  const log: CallerLog = { accepted: [], contradictions: [], requests: 0, retried: 0 }
  const { random } = options
  let next = 0
  const some = () => cluster.instances[Math.floor(random() * cluster.instances.length)] as Instance

  async function send(
    body: object,
    user: string,
    key: string,
    timeoutMs: number,
  ): Promise<Answer | undefined> {
    log.requests += 1
    return request(some(), 'POST', '/api/agent/chat', { user, body, key, timeoutMs }).catch(() => undefined)
  }

  async function start(body: object, user: string): Promise<{ key: string; answer: Answer } | undefined> {
    const key = randomUUID()
    for (let attempt = 0; ; attempt++) {
      const impatient = random() < 0.05
      const timeoutMs = impatient ? 20 + random() * 100 : 30_000
      const twins = random() < 0.15 ? 2 : 1
      const answers = await Promise.all(Array.from({ length: twins }, () => send(body, user, key, timeoutMs)))
      if (attempt > 0) log.retried += 1
      const taken = answers.filter((answer) => answer?.status === 202)
      if (new Set(taken.map((answer) => answer?.body.runId)).size > 1)
        log.contradictions.push(`${key}: ${taken.map((answer) => answer?.body.runId).join(' and ')}`)
      const fatal = answers.find((answer) => answer && answer.status !== 202 && !answer.body.retryable)
      if (taken[0] !== undefined) return { key, answer: taken[0] }
      if (fatal !== undefined || Date.now() > options.until + PATIENCE_MS) {
        const last = answers.map((answer) => answer && `${answer.status} ${answer.body.code}`).join(', ')
        log.contradictions.push(`${key} is never accepted: ${last}`)
        return undefined
      }
      await sleep(200 + random() * 400)
    }
  }

  async function hold(thread: number): Promise<void> {
    const user = `user-${thread % 40}`
    let conversationId: string | undefined
    for (let turn = 0; turn < options.turns && Date.now() < options.until; turn++) {
      const message = `This is ${turn} of thread-${thread}. What was my last message?`
      const body = { message, ...(conversationId === undefined ? {} : { conversationId }) }
      const started = await start(body, user)
      if (started === undefined) return
      const { key, answer } = started
      const { runId } = answer.body
      log.accepted.push({
        user,
        key,
        thread,
        turn,
        message,
        runId,
        conversationId: answer.body.conversationId,
        acceptedAt: Date.now(),
      })
      // Not stored: there is no conversation to go on with.
      if (answer.body.conversationId === undefined) return
      conversationId = answer.body.conversationId
    }
  }

  const lane = async () => {
    while (next < options.threads && Date.now() < options.until) await hold(next++)
  }
  await Promise.all(Array.from({ length: options.parallel }, lane))
  return log
}
