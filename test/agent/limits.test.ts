import type { UIMessageChunk } from 'ai'
import t from 'tap'
import { readAgentSettings } from '../../src/agent/settings.ts'
import type { AgentTurn, TurnLimits } from '../../src/agent/turn.ts'
import { play, settings, turnOf } from './turns.ts'
import { openaiChat } from './wire/openai-chat.ts'
import { says, startProvider } from './wire/server.ts'

const limited = (message: string, limits: TurnLimits): AgentTurn => ({ ...turnOf(message), limits })
const paced = { ...settings, offline: { wordMs: 20, faults: true } }
const STORY = 'Tell me a story of 300 sentences'

/** The chunks that begin a text or a call, and those that end one, add up. */
function isWhole(chunks: UIMessageChunk[]): boolean {
  const count = (...types: string[]) => chunks.filter(({ type }) => types.includes(type)).length
  return (
    count('text-start') === count('text-end') &&
    count('tool-input-available') === count('tool-output-available', 'tool-output-error')
  )
}

t.test('a turn that meets a limit is completed, with its own finish reason', async (t) => {
  for (const { message, limits, finishReason, said, own = settings } of [
    { message: '[[loop]]', limits: { maxSteps: 2 }, finishReason: 'step_limit', said: /limit of steps/ },
    {
      message: '[[loop]]',
      limits: { maxTotalTokens: 1500 },
      finishReason: 'token_limit',
      said: /limit of tokens/,
    },
    { message: STORY, limits: { maxTotalTokens: 400 }, finishReason: 'token_limit', said: /\w+ \w+/ },
    { message: STORY, limits: { maxSeconds: 1 }, finishReason: 'time_limit', said: /\w+ \w+/, own: paced },
    {
      message: '[[tool-stall:3]]',
      limits: { maxSeconds: 1 },
      finishReason: 'time_limit',
      said: /limit of time/,
    },
    {
      message: '[[stall-after:3]] Tell me a story',
      limits: { maxSeconds: 1 },
      finishReason: 'time_limit',
      said: /\w/,
    },
  ]) {
    const { result, chunks, text, lines } = await play(limited(message, limits), { settings: own })
    const name = `${message} ${JSON.stringify(limits)}`
    t.match(result, { status: 'completed', output: { finishReason } }, name)
    t.match(text, said, name)
    t.match(chunks.at(-1), { type: 'finish', messageMetadata: { finishReason } })
    t.ok(isWhole(chunks), 'what had begun is ended')
    t.same(lines, [])
    if (result.status !== 'completed') continue
    const { parts } = result.output.uiMessage
    t.equal(parts.map((part) => (part.type === 'text' ? part.text : '')).join(''), text)
    t.notOk(parts.some((part) => 'state' in part && !/^(done|output-.+)$/.test(String(part.state))))
  }
})

t.test('the answer keeps to the limit of tokens while the model writes', async (t) => {
  const { result } = await play(limited(STORY, { maxTotalTokens: 400 }))
  const { usage } = result.status === 'completed' ? result.output : { usage: undefined }
  t.ok(usage?.estimated)
  t.ok(Number(usage?.totalTokens) >= 400 && Number(usage?.totalTokens) < 420, JSON.stringify(usage))
})

t.test('the limits of the operator count where they are lower', async (t) => {
  const own = readAgentSettings({
    AGENT_OFFLINE_WORD_MS: '0',
    AGENT_OFFLINE_FAULTS: '1',
    AGENT_MAX_STEPS: '3',
  })
  const steps = async (limits: TurnLimits) => {
    const { result } = await play(limited('[[loop]]', limits), { settings: own })
    return result.status === 'completed' && result.output.steps
  }
  t.equal(await steps({ maxSteps: 100 }), 3)
  t.equal(await steps({ maxSteps: 1 }), 1)
  t.equal(await steps({}), 3)
  const tokens = { ...settings, maxTotalTokens: 400 }
  t.match((await play(limited(STORY, { maxTotalTokens: 1_000_000 }), { settings: tokens })).result, {
    output: { finishReason: 'token_limit' },
  })
  t.match((await play(turnOf(STORY), { settings: tokens })).result, {
    output: { finishReason: 'token_limit' },
  })
})

t.test('a turn within its limits ends as without them', async (t) => {
  const limits = { maxSteps: 5, maxOutputTokens: 1000, maxTotalTokens: 100_000, maxSeconds: 60 }
  const { result, text } = await play(limited('What is 17 * 23?', limits))
  t.equal(text, '17 * 23 = 391.')
  t.match(result, { status: 'completed', output: { finishReason: 'stop', steps: 2 } })
})

t.test('a cancel before the limit of time is a cancel', async (t) => {
  const stop = new AbortController()
  const write = (chunk: UIMessageChunk) => {
    if (chunk.type === 'text-delta') stop.abort()
  }
  const { result } = await play(limited(STORY, { maxSeconds: 60 }), {
    settings: paced,
    signal: stop.signal,
    write,
  })
  t.match(result, { status: 'cancelled' })
})

t.test('the limit of output tokens goes to the provider', async (t) => {
  const { settings: own, calls } = await startProvider(
    t,
    openaiChat,
    says(openaiChat, { text: 'Yes, be', end: 'length' }),
  )
  const { result } = await play(limited('Hello', { maxOutputTokens: 5 }), {
    settings: { ...own, maxOutputTokens: 900 },
  })
  t.match(result, { status: 'completed', output: { finishReason: 'length' } })
  t.match(calls[0]?.body, { max_tokens: 5 })
})

t.test('of the limit of the request and what is reserved in a budget, the lower one counts', async (t) => {
  for (const message of [STORY, '[[loop]]'])
    for (const [maxTotalTokens, reserved, finishReason] of [
      [500, 900, 'token_limit'],
      [900, 500, 'budget'],
      [500, 500, 'budget'],
      [undefined, 500, 'budget'],
    ] as const) {
      const turn = limited(message, maxTotalTokens === undefined ? {} : { maxTotalTokens })
      const { result, text } = await play({ ...turn, budget: { maxTotalTokens: reserved } })
      const name = `${message} ${maxTotalTokens} ${reserved}`
      t.match(result, { status: 'completed', output: { finishReason } }, name)
      t.match(text, /\w+ \w+/, name)
      if (message === STORY && result.status === 'completed')
        t.ok(result.output.usage.totalTokens < 520, `${name}: it is cut in the middle of the answer`)
    }
})
