import t from 'tap'
import { useMemoryEngine } from '../support/memory-engine.ts'
import { type Service, startService, token } from '../support/service.ts'
import { after, type Op, type Outcome, type Thread, type Turn, textsOf } from './thread-model.ts'

/** `MODEL_SEQUENCES=1000` plays more sequences, `MODEL_SEED` plays one sequence again. */
const SEQUENCES = Number(process.env.MODEL_SEQUENCES ?? 40)
const ONLY = process.env.MODEL_SEED
const ROUNDS = 8
const CHAT = '/api/agent/chat'

interface Message {
  id: string
  role: string
  text: string
}

/** A generator of numbers from 0 to 1, which are the same for the same seed. */
function numbers(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

/** An operation for this thread. Most of these operations are possible in it. */
function choose(random: () => number, thread: Turn[], past: string[], text: string): Op {
  const of = <T>(list: readonly T[]): T | undefined => list[Math.floor(random() * list.length)]
  const ifBusy = of(['enqueue', 'enqueue', 'interrupt', 'reject'] as const) ?? 'enqueue'
  const last = thread.at(-1)
  const at = Math.floor(random() * thread.length)
  const asked = random() < 0.2 ? `${text} hold` : text
  const dice = random()
  if (last === undefined || dice < 0.35) return { kind: 'send', ifBusy, text: asked }
  if (dice < 0.6) {
    const runId = random() < 0.85 ? last.runId : (of(past) ?? last.runId)
    // The service refuses the retry of an unfinished run only after a wait for its end, so few retries are such ones.
    return { kind: 'retry', ifBusy: last.isLive && random() < 0.95 ? 'interrupt' : ifBusy, text, runId }
  }
  if (dice < 0.8) return { kind: 'edit', ifBusy, text: asked, at }
  if (dice < 0.9) return { kind: 'cancel', ifBusy, text, runId: of(thread)?.runId ?? '' }
  return dice < 0.98 ? { kind: 'fork', ifBusy, text, at } : { kind: 'delete', ifBusy, text }
}

/** One conversation with two callers. */
function play(service: Service, conversationId: string) {
  const path = `/api/agent/conversations/${conversationId}`
  const messages = async (include = ''): Promise<Message[] | undefined> => {
    const { status, body } = await service.call('GET', `${path}/messages?limit=100${include}`)
    return status === 200 ? body.data : undefined
  }
  const forks: Array<{ id: string; through: string }> = []

  async function carryOut(op: Op, shown: Message[]): Promise<Outcome> {
    const { ifBusy, text: message } = op
    const questions = shown.filter(({ role }) => role === 'user')
    switch (op.kind) {
      case 'send':
        return outcome(await service.call('POST', CHAT, { body: { message, conversationId, ifBusy } }))
      case 'retry':
        return outcome(await service.call('POST', `${CHAT}/${op.runId}/retry`, { body: { ifBusy } }))
      case 'cancel':
        return outcome(await service.call('POST', `${CHAT}/${op.runId}/cancel`))
      case 'delete':
        return outcome(await service.call('DELETE', path))
      case 'fork': {
        const throughMessageId = questions[op.at]?.id
        const answer = await service.call('POST', `${path}/fork`, { body: { throughMessageId } })
        if (answer.status === 201) forks.push({ id: answer.body.id, through: questions[op.at]?.text ?? '' })
        return { status: answer.status, code: answer.body.code }
      }
      case 'edit': {
        const { id = '' } = questions[op.at] ?? {}
        const left = new AbortController()
        const body = {
          ...{ conversationId, ifBusy, messageId: id, headMessageId: shown.at(-1)?.id },
          messages: [{ id, role: 'user', parts: [{ type: 'text', text: message }] }],
        }
        const answer = await fetch(`${service.url}${CHAT}/stream`, {
          method: 'POST',
          headers: await headers(),
          body: JSON.stringify(body),
          signal: left.signal,
        })
        const runId = answer.headers.get('x-run-id')
        const told = runId === null ? ((await answer.json()) as Outcome) : { status: 200, runId }
        left.abort()
        return outcome({ status: answer.status, body: told })
      }
    }
  }
  const unfinished = async (): Promise<string[]> => {
    const { body } = await service.call(
      'GET',
      `${CHAT}?conversationId=${conversationId}&status=queued,running`,
    )
    return body.data.map(({ runId }: { runId: string }) => runId).sort()
  }
  return { messages, unfinished, carryOut, forks }
}

const outcome = ({ status, body }: { status: number; body: { code?: string; runId?: string } }): Outcome => ({
  status,
  ...(body.code === undefined ? {} : { code: body.code }),
  ...(body.runId === undefined ? {} : { runId: body.runId }),
})
let headers: () => Promise<Record<string, string>>

/**
 * The thread after both operations, in an order that explains both outcomes. When both orders do, the one whose thread
 * is the thread of the service.
 */
function explained(thread: Thread, both: Array<[Op, Outcome]>, actual: Actual) {
  const fits = []
  for (const order of [both, both.toReversed()]) {
    const before: Turn[][] = []
    let now: Thread | 'impossible' = thread?.map((turn) => ({ ...turn, isFresh: false }))
    for (const [op, seen] of order) {
      if (now === 'impossible') break
      before.push(now ?? [])
      // The turn of another start may be in the thread until that start fails.
      const isBeside = seen.status === 409 && both.some(([, other]) => other.status === 503)
      now = isBeside ? now : after(now, op, seen)
    }
    if (now !== 'impossible') fits.push({ thread: now, order, before })
  }
  const isActual = ({ thread: after = [] }: { thread: Thread }) =>
    JSON.stringify([textsOf(after), liveOf(after)]) === JSON.stringify([actual.texts, actual.live])
  return fits.find(isActual) ?? fits[0]
}

/** The thread in the service: its texts and its unfinished runs. */
interface Actual {
  texts: string[]
  live: string[]
}
const liveOf = (thread: Turn[]) => thread.flatMap(({ isLive, runId }) => (isLive ? [runId] : [])).sort()

t.test('a conversation equals its model after parallel operations of two callers', async (t) => {
  const service = await startService(t)
  const engine = useMemoryEngine(service.app.engine)
  const bearer = await token('alice')
  headers = async () => ({ authorization: `Bearer ${bearer}`, 'content-type': 'application/json' })
  let operations = 0
  const kinds = new Map<string, number>()

  for (let n = 0; n < SEQUENCES && t.passing(); n++) {
    const seed = ONLY === undefined ? n + 1 : Number(ONLY)
    const random = numbers(seed)
    engine.fate = () =>
      random() < 0.9
        ? 'accept'
        : ((['refuse', 'lose', 'drop'] as const)[Math.floor(random() * 3)] ?? 'refuse')
    const { body } = await service.call('POST', '/api/agent/conversations', { body: {} })
    const { messages, unfinished, carryOut, forks } = play(service, body.id)
    const said = new Set<string>()
    const past: string[] = []
    const log: string[] = []
    let thread: Thread = []
    for (let round = 0; round < ROUNDS && thread !== undefined && t.passing(); round++) {
      const shown = (await messages()) ?? []
      const ops = [0, 1].map((caller) => choose(random, thread ?? [], past, `Q${round}.${caller}`))
      const outcomes = await Promise.all(ops.map((op) => carryOut(op, shown)))
      const both = ops.map((op, at): [Op, Outcome] => [op, outcomes[at] as Outcome])
      log.push(JSON.stringify(both))
      for (const [op, seen] of both) {
        operations++
        kinds.set(`${op.kind} ${seen.status}`, (kinds.get(`${op.kind} ${seen.status}`) ?? 0) + 1)
        if (seen.runId === undefined || op.kind === 'cancel') continue
        past.push(seen.runId)
        await service.app.services.settle(seen.runId)
      }
      const actual = {
        texts: ((await messages()) ?? []).map(({ text }) => text),
        live: await unfinished(),
      }
      const fits = explained(thread, both, actual)
      if (fits === undefined) t.fail(`seed ${seed}: no order explains the outcomes`, { log })
      if (fits === undefined) break
      thread = fits.thread
      if (thread === undefined) break
      t.same(actual.texts, textsOf(thread), `seed ${seed}, round ${round}: the thread`, { log })
      for (const text of textsOf(thread)) said.add(text)
      const all = new Set((await messages('&include=superseded'))?.map(({ text }) => text))
      t.ok(
        [...said].every((text) => all.has(text)),
        `seed ${seed}, round ${round}: the service has the thread of the model`,
        { log },
      )
      // A prompt that was made before another start failed may lack the messages that this failure restored.
      const hasFailed = outcomes.some(({ status }) => status === 503)
      fits.order.forEach(([op, { runId, status }], at) => {
        if (runId === undefined || status > 202 || op.kind === 'cancel' || hasFailed) return
        // A turn that was replaced before its dispatch has no prompt to check.
        if (!fits.thread?.some((turn) => turn.runId === runId)) return
        const { history = [], ahead = [] } = engine.payloadOf(runId) ?? {}
        const before = fits.before[at] ?? []
        const kept =
          op.kind === 'retry' ? before.slice(0, -1) : op.kind === 'edit' ? before.slice(0, op.at) : before
        const prompt = history.map(({ parts }) =>
          parts.map((part) => (part.type === 'text' ? part.text : '')).join(''),
        )
        const ended = kept.filter((one) => !ahead.includes(one.runId))
        t.same(prompt, textsOf(ended), `seed ${seed}, round ${round}: the prompt`, { log })
      })
    }
    for (const { id, through } of forks) {
      const copy = (await service.call('GET', `/api/agent/conversations/${id}/messages?limit=100`)).body.data
      t.equal(copy.at(-1).text, through, `seed ${seed}: a fork ends with the message that the request names`)
      for (const { text } of copy)
        t.ok(said.has(text), `seed ${seed}: a fork holds only messages of the thread`)
    }
    if (ONLY !== undefined) break
  }
  t.comment(`${SEQUENCES} sequences, ${operations} operations: ${JSON.stringify([...kinds].sort())}`)
})
