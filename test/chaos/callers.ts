import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Answer, type Cluster, type Instance, request } from './cluster.ts'

/** The caller's record of an accepted start. */
export interface Accepted {
  user: string
  key: string
  /** The caller's own number of the conversation, and the turn's number in it. Messages that are sent at the same time share it. */
  thread: number
  turn: number
  message: string
  runId: string
  conversationId: string | undefined
  sentAt: number
  acceptedAt: number
}

export interface CallerLog {
  accepted: Accepted[]
  /** Starts whose repetitions got different answers, and starts that were never accepted. */
  contradictions: string[]
  /** Stored conversations of which every turn was accepted. */
  held: number
  requests: number
  retried: number
  /** Turns that were sent at the same time as other turns of their conversation. */
  parallel: number
}

export interface CallerOptions {
  /** The callers hold at least so many conversations, and go on for as long as `busy` returns true. */
  threads: number
  turns: number
  /** Conversations that are held at the same time. */
  parallel: number
  /** Milliseconds between two conversations of a caller. */
  pauseMs: number
  busy: () => boolean
  /** Called after these conversations. The callers then hold one more, so that a restarted engine has runs to check. */
  calm: () => Promise<unknown>
  /** No start is begun after this moment. */
  until: number
  random: () => number
}

/** Every start must be accepted within this time after the last misfortune. */
const PATIENCE_MS = 45_000

/**
 * Callers that hold conversations and want one answer to every message. They repeat a start with its key until the
 * service accepts it. Some send a start twice at the same time, some send it again after it was accepted, some close
 * the connection early and repeat the start, and some send two or three messages at the same time.
 */
export async function converse(cluster: Cluster, options: CallerOptions): Promise<CallerLog> {
  const log: CallerLog = {
    accepted: [],
    contradictions: [],
    held: 0,
    requests: 0,
    retried: 0,
    parallel: 0,
  }
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

  function compare(key: string, answers: Array<Answer | undefined>): Answer | undefined {
    const taken = answers.filter((answer) => answer?.status === 202)
    const runIds = new Set(taken.map((answer) => answer?.body.runId))
    if (runIds.size > 1) log.contradictions.push(`${key}: ${[...runIds].join(' and ')}`)
    return taken[0]
  }

  async function start(body: object, user: string): Promise<{ key: string; answer: Answer } | undefined> {
    const key = randomUUID()
    for (let attempt = 0; ; attempt++) {
      const impatient = random() < 0.05
      const timeoutMs = impatient ? 20 + random() * 100 : 30_000
      const twins = random() < 0.15 ? 2 : 1
      const answers = await Promise.all(Array.from({ length: twins }, () => send(body, user, key, timeoutMs)))
      if (attempt > 0) log.retried += 1
      const taken = compare(key, answers)
      if (taken !== undefined) {
        if (random() < 0.05) compare(key, [taken, await send(body, user, key, 30_000)])
        return { key, answer: taken }
      }
      const fatal = answers.find((answer) => answer !== undefined && !answer.body.retryable)
      if (fatal !== undefined || Date.now() > options.until + PATIENCE_MS) {
        const last = answers.map((answer) => answer && `${answer.status} ${answer.body.code}`).join(', ')
        log.contradictions.push(`the start with key ${key} was never accepted: ${last}`)
        return undefined
      }
      await sleep(200 + random() * 400)
    }
  }

  /** @returns the id of the conversation; undefined when the start was not accepted or the conversation was not stored */
  async function say(
    { user, thread, turn, n = 0 }: { user: string; thread: number; turn: number; n?: number },
    conversationId?: string,
  ): Promise<string | undefined> {
    const which = random() < 0.3 ? 'first' : 'last'
    const message = `This is ${turn}${'abc'[n]} of thread-${thread}. What was my ${which} message?`
    const sentAt = Date.now()
    const body = { message, ...(conversationId === undefined ? {} : { conversationId }) }
    const started = await start(body, user)
    if (started === undefined) return undefined
    const { key, answer } = started
    log.accepted.push({
      user,
      key,
      thread,
      turn,
      message,
      runId: answer.body.runId,
      conversationId: answer.body.conversationId,
      sentAt,
      acceptedAt: Date.now(),
    })
    return answer.body.conversationId
  }

  async function hold(thread: number): Promise<void> {
    const user = `user-${thread % 40}`
    let conversationId: string | undefined
    for (let turn = 0; turn < options.turns; turn++) {
      if (Date.now() > options.until) return
      const atOnce = turn > 0 && random() < 0.15 ? 2 + Math.floor(random() * 2) : 1
      const said = await Promise.all(
        Array.from({ length: atOnce }, (_, n) => say({ user, thread, turn, n }, conversationId)),
      )
      if (atOnce > 1) log.parallel += atOnce
      // A start was not accepted, or its conversation was not stored, so the next turn has no conversation.
      if (said.includes(undefined)) return
      conversationId = said[0]
    }
    log.held += 1
  }

  const lane = async () => {
    while ((log.held < options.threads || options.busy()) && Date.now() < options.until) {
      await hold(next++)
      await sleep(options.pauseMs)
    }
  }
  await Promise.all(Array.from({ length: options.parallel }, lane))
  await options.calm()
  await hold(next)
  return log
}
