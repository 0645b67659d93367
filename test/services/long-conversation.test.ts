import { fileURLToPath } from 'node:url'
import t from 'tap'
import { startEngine, startService } from '../support/service.ts'
import { startStrictModel } from '../support/strict-model.ts'
import { query } from './rows.ts'

const TASK = fileURLToPath(new URL('../support/filler-task.ts', import.meta.url))
/** Number of turns. LONG_TURNS=300 plays the whole conversation. */
const TURNS = Number(process.env.LONG_TURNS ?? 60)
const MOST_TOKENS = 6000
/** Lengths of the tool results in characters: none, short ones, and some that are longer than the window. */
const SIZES = [0, 0, 200, 0, 3000, 0, 12_000, 0, 40_000, 0, 0, 120_000]

const environment = (url: string) => ({
  AGENT_MODEL: 'compatible:strict',
  AGENT_MODEL_BASE_URL: url,
  AGENT_CONTEXT_TOKENS: String(MOST_TOKENS),
  AGENT_MAX_RETRIES: '0',
  AGENT_TOOL_OUTPUT_MAX: '200000',
})

t.test(`the prompts of ${TURNS} turns stay within the window and lose no fact`, async (t) => {
  const model = await startStrictModel(t, MOST_TOKENS)
  const engine = await startEngine(t, {
    taskModules: [TASK],
    childEnv: environment(model.url),
  })
  const service = await startService(t, { engine })
  const payloads: number[] = []
  const { engine: calls } = service.app
  const { start } = calls
  t.intercept(calls, 'start', {
    value: (turn: object, options: never) => {
      payloads.push(Buffer.byteLength(JSON.stringify(turn)))
      return start.call(calls, turn as never, options)
    },
  })

  let conversationId: string | undefined
  const ask = async (message: string) => {
    const { body } = await service.call('POST', '/api/agent/chat/sync', { body: { message, conversationId } })
    conversationId ??= body.conversationId
    return body
  }
  const problems: string[] = []
  for (let n = 1; n <= TURNS; n++) {
    const size = SIZES[n % SIZES.length]
    const said = n === 1 ? 'FACT-of-turn-1' : n % 20 === 0 ? `FACT-of-turn-${n}` : 'and so on '.repeat(n % 9)
    const run = await ask(`Turn ${n}: ${said}. ${size === 0 ? 'Go on' : `Please fill ${size}`}`)
    const { sent = 0, summarized = 0, dropped = 0 } = run.history ?? {}
    if (run.status !== 'completed') problems.push(`turn ${n}: ${run.errorCode}`)
    if (sent + summarized + dropped !== 2 * (n - 1))
      problems.push(`turn ${n}: ${JSON.stringify(run.history)} of ${2 * (n - 1)} messages`)
    if (dropped > 0) problems.push(`turn ${n}: ${dropped} messages were dropped`)
  }
  t.same(problems, [])
  const last = await ask('Which facts?')
  t.match(last.text, /FACT-of-turn-1\b/, 'the last answer knows the fact of the first turn')
  for (let n = 20; n <= TURNS; n += 20) t.match(last.text, `FACT-of-turn-${n}`)
  t.same([...new Set(model.faults)], [], 'the roles of every prompt alternate')
  t.ok(model.accepted.every((tokens) => tokens <= MOST_TOKENS))
  t.ok(model.summaries > 0 && model.summaries < TURNS / 2, `${model.summaries} summaries`)
  t.ok(model.refused <= 2, `${model.refused} prompts were refused before the ratio was known`)
  const longest = Math.max(...payloads)
  t.ok(longest < 64 * 1024, `the longest payload has ${longest} bytes`)

  const third = Math.floor(payloads.length / 3)
  const [begin, middle, end] = [0, 1, 2].map((n) => Math.max(...payloads.slice(n * third, (n + 1) * third)))
  t.ok(Number(end) < 1.2 * Number(middle), `payloads do not grow: ${begin}, ${middle}, ${end} bytes`)

  const path = `/api/agent/conversations/${conversationId}`
  const { summary, summarizedThrough } = (await service.call('GET', path)).body
  t.match(summary, /FACT-of-turn-1\b/, 'the user can read the summary')
  t.equal((await service.call('GET', path, { user: 'bob' })).status, 404)
  t.notOk(
    'summary' in (await service.call('GET', '/api/agent/conversations')).body.data[0],
    'a list of conversations leaves the summary out',
  )
  const [reached] = await query<{ position: number }>(
    service,
    `select position from messages where id = '${summarizedThrough}'`,
  )
  t.ok(Number(reached?.position) > 1)
  const [count] = await query(service, 'select count(*)::integer as messages from messages')
  t.same(count, { messages: 2 * (TURNS + 1) }, 'the whole history stays readable')
  if (process.env.LONG_TURNS)
    console.error(
      `prompts up to ${Math.max(...model.accepted)} of ${MOST_TOKENS} tokens, ${model.refused} refused, ${model.summaries} summaries, payloads up to ${longest} bytes`,
    )
})

t.test('a queued turn uses the summary that the run ahead has written', async (t) => {
  const model = await startStrictModel(t, MOST_TOKENS)
  const engine = await startEngine(t, { taskModules: [TASK], childEnv: environment(model.url) })
  const service = await startService(t, { engine })
  const start = async (message: string, conversationId?: string) =>
    (await service.call('POST', '/api/agent/chat', { body: { message, conversationId } })).body
  const first = await start('FACT-of-turn-1')
  await service.ended(first.runId)
  const queued: string[] = []
  for (let n = 2; n <= 10; n++)
    queued.push((await start(`Turn ${n}: ${'and so on '.repeat(250)}`, first.conversationId)).runId)
  const ends = await Promise.all(queued.map((runId) => service.ended(runId)))
  t.same([...new Set(ends.map(({ body }) => body.status))], ['completed'])
  for (const [n, { body }] of ends.entries()) {
    const { sent, summarized, dropped } = body.history
    t.same({ known: sent + summarized, dropped }, { known: 2 * (n + 1), dropped: 0 })
  }
  t.ok(model.summaries > 0 && model.summaries < 5, `${model.summaries} summaries`)
  const last = await start('Which facts?', first.conversationId)
  t.match((await service.ended(last.runId)).body.text, /FACT-of-turn-1\b/)
  t.same([...new Set(model.faults)], [])
})

t.test('without AGENT_CONTEXT_TOKENS a run says how many messages its prompt lacked', async (t) => {
  const service = await startService(t)
  const history = Array.from({ length: 80 }, (_, n) => ({
    role: n % 2 === 0 ? 'user' : 'assistant',
    content: `${n}`,
  }))
  const { body } = await service.call('POST', '/api/agent/chat/sync', { body: { message: 'Hello', history } })
  t.same(body.history, { sent: 50, summarized: 0, dropped: 30 })
  const next = { message: 'Hello', conversationId: body.conversationId }
  const again = await service.call('POST', '/api/agent/chat/sync', { body: next })
  t.same(again.body.history, { sent: 50, summarized: 0, dropped: 32 })
})
