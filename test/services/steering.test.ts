import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { parseEvents } from '../streams/sse.ts'
import { createDatabase } from '../support/postgres.ts'
import { seeded } from '../support/random.ts'
import { type Service, startEngine, startService } from '../support/service.ts'
import { CHAT, start } from './instances.ts'
import { until } from './rows.ts'

/** The agent sleeps for a second, again and again, until it has no steps left. */
const LOOP = '[[loop:1]]'
const STEPS = 10

const steer = (service: Service, message: string, conversationId?: string, key?: string) =>
  start(service, key, {
    message,
    ifBusy: 'steer',
    ...(conversationId === undefined ? {} : { conversationId }),
  })

/** Starts a turn and waits until its first tool call is executed. */
async function looping(service: Service): Promise<{ runId: string; conversationId: string }> {
  const { body } = await start(service, undefined, { message: LOOP })
  await until(async () => {
    for await (const { chunk } of service.app.engine.chunks(body.runId, AbortSignal.timeout(20_000)))
      if (chunk.type === 'tool-input-available') return true
    return false
  })
  return body
}

const textsOf = async (service: Service, conversationId: string) => {
  const { body } = await service.call('GET', `/api/agent/conversations/${conversationId}/messages?limit=100`)
  return body.data as Array<{ role: string; text: string; runId: string; finishReason?: string }>
}

t.test('a message that steers', async (t) => {
  const service = await startService(t, { environment: { AGENT_MAX_STEPS: String(STEPS) } })

  t.test('ends the running turn between two steps, and its run knows what was done', async (t) => {
    const { runId, conversationId } = await looping(service)
    const viewing = service.call('GET', `${CHAT}/${runId}/stream?ui=7`)
    const next = await steer(service, 'What is my first message?', conversationId)
    t.equal(next.status, 202)
    t.not(next.body.runId, runId)
    const { body: steered } = await service.ended(runId)
    t.match(steered, { status: 'completed', finishReason: 'steered', steeredBy: next.body.runId, text: '' })
    t.ok(steered.steps < STEPS, 'the model was not asked again')
    t.equal(steered.toolCalls.length, steered.steps)
    t.ok(steered.toolCalls.every((call: object) => 'result' in call))
    const finish = parseEvents((await viewing).body as never).find(({ chunk }) => chunk?.type === 'finish')
    t.match(finish?.chunk.messageMetadata, { finishReason: 'steered', steeredBy: next.body.runId })
    t.match((await service.ended(next.body.runId)).body, {
      finishReason: 'stop',
      text: `Your first message was: "${LOOP}"`,
    })
    const listed = await service.call('GET', `${CHAT}?conversationId=${conversationId}`)
    t.match(
      listed.body.data.map(({ finishReason }: { finishReason: string }) => finishReason),
      ['stop', 'steered'],
    )
    t.match(
      (await textsOf(service, conversationId)).map(({ role, runId }) => [role, runId]),
      [
        ['user', runId],
        ['assistant', runId],
        ['user', next.body.runId],
        ['assistant', next.body.runId],
      ],
    )
  })

  t.test('is an ordinary message when the turn ends first, and when no turn is unfinished', async (t) => {
    const first = await steer(service, 'What is 2 * 3?')
    t.match((await service.ended(first.body.runId)).body, { finishReason: 'stop', text: '2 * 3 = 6.' })
    const { conversationId } = first.body
    const story = await start(service, undefined, { message: 'A story of 3 sentences', conversationId })
    const next = await steer(service, 'What is 2 * 4?', conversationId)
    const { body: told } = await service.ended(story.body.runId)
    t.match(told, { finishReason: 'stop', steeredBy: undefined })
    t.match((await service.ended(next.body.runId)).body, { finishReason: 'stop', text: '2 * 4 = 8.' })
  })

  t.test('may be followed by another one: both are answered, in their order', async (t) => {
    const { runId, conversationId } = await looping(service)
    const second = await steer(service, LOOP, conversationId)
    const third = await steer(service, 'What is 2 * 5?', conversationId)
    t.match((await service.ended(runId)).body, { finishReason: 'steered', steeredBy: second.body.runId })
    const { body: looped } = await service.ended(second.body.runId)
    t.match(looped, { finishReason: 'steered', steeredBy: third.body.runId })
    t.ok(looped.steps >= 1, 'a queued run makes one step at least')
    t.match((await service.ended(third.body.runId)).body, { finishReason: 'stop', text: '2 * 5 = 10.' })
  })

  t.test('is repeated by its key, and is 404 in the conversation of another user', async (t) => {
    const { runId, conversationId } = await looping(service)
    const before = service.engine.stats().runs
    const [one, two] = [
      await steer(service, 'What is 2 * 6?', conversationId, 'once'),
      await steer(service, 'What is 2 * 6?', conversationId, 'once'),
    ]
    t.same(two?.body, one?.body)
    t.equal(service.engine.stats().runs, before + 1)
    const foreign = { message: 'Hello', ifBusy: 'steer', conversationId }
    t.equal((await service.call('POST', CHAT, { user: 'bob', body: foreign })).status, 404)
    t.match((await service.ended(runId)).body, { finishReason: 'steered' })
    t.match((await service.ended(one?.body.runId)).body, { text: '2 * 6 = 12.' })
  })
})

t.test('a message that steers is answered when its mark cannot be set', async (t) => {
  const lines: string[] = []
  const logger = { level: 'warn', stream: { write: (line: string) => void lines.push(line) } }
  const service = await startService(t, { logger, environment: { AGENT_MAX_STEPS: '3' } })
  service.app.engine.steer = async () => {
    throw new Error('away')
  }
  const { runId, conversationId } = await looping(service)
  const next = await steer(service, 'What is 2 * 7?', conversationId)
  t.equal(next.status, 202)
  t.match((await service.ended(next.body.runId)).body, { status: 'completed', text: '2 * 7 = 14.' })
  t.match((await service.ended(runId)).body, { status: 'completed', finishReason: 'step_limit' })
  t.equal(lines.filter((line) => line.includes('a message steers it')).length, 1)
})

t.test('messages that steer at any moment are answered once each, in their order', async (t) => {
  const count = Number(process.env.STEERED ?? 15)
  const conversations = 5
  const random = seeded(Number(process.env.STEER_SEED ?? 7))
  const engine = await startEngine(t)
  const databaseUrl = await createDatabase(t)
  const environment = { AGENT_MAX_STEPS: '4', RATE_LIMIT_START_MAX: '10000', RATE_LIMIT_READ_MAX: '10000' }
  const [a, b] = await Promise.all([
    startService(t, { engine, databaseUrl, environment }),
    startService(t, { engine, databaseUrl, environment }),
  ])
  const any = () => (random() < 0.5 ? a : b)
  const reasons = new Map<string, number>()

  await Promise.all(
    Array.from({ length: conversations }, async (_, place) => {
      const sent: Array<{ message: string; runId: string }> = []
      let conversationId: string | undefined
      for (let n = 0; n < count / conversations; n++) {
        const message = `${random() < 0.5 ? LOOP : 'What is 3 * 3?'} ${place}-${n}`
        let started = await steer(any(), message, conversationId)
        // Ten runs of a conversation may be unfinished.
        while (started.body.retryable) {
          await sleep(200)
          started = await steer(any(), message, conversationId)
        }
        t.equal(started.status, 202)
        conversationId ??= started.body.conversationId
        sent.push({ message, runId: started.body.runId })
        await sleep(random() * 1_500)
      }
      for (const { runId } of sent) {
        const { body } = await any().ended(runId)
        t.equal(body.status, 'completed', body.errorCode)
        reasons.set(body.finishReason, (reasons.get(body.finishReason) ?? 0) + 1)
      }
      const asked = (await textsOf(a, conversationId ?? '')).filter(({ role }) => role === 'user')
      t.same(
        asked.map(({ text, runId }) => ({ message: text, runId })),
        sent,
      )
    }),
  )
  t.equal(engine.stats().runs, count, 'each message has one run')
  t.ok((reasons.get('steered') ?? 0) > 0)
  if (process.env.STEERED) console.error(Object.fromEntries(reasons))
})
