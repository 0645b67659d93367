import { type UIMessageChunk, uiMessageChunkSchema } from 'ai'
import t from 'tap'
import { FAILURES, failureMessage, parseFailure } from '../../src/agent/failure.ts'
import { runTurn } from '../../src/agent/run-turn.ts'
import { readAgentSettings } from '../../src/agent/settings.ts'
import { agent } from '../../src/agents/default/agent.ts'
import { play, say, settings, turnOf } from './turns.ts'

const types = (chunks: UIMessageChunk[]) => chunks.map(({ type }) => type)
const usageOf = (chunks: UIMessageChunk[]) => chunks.findLast(({ type }) => type === 'data-usage')

t.test('a calculation calls the tool and answers with its result', async (t) => {
  const { chunks, result, text } = await play(turnOf('What is 17 * 23?'), {
    metadata: { conversationId: 'conversation', runId: 'run_1' },
  })
  t.same(chunks[0], {
    type: 'start',
    messageId: 'answer',
    messageMetadata: { conversationId: 'conversation', runId: 'run_1' },
  })
  t.equal(text, '17 * 23 = 391.')
  t.match(chunks.at(-1), { type: 'finish', finishReason: 'stop' })
  t.match(result, {
    status: 'completed',
    output: {
      finishReason: 'stop',
      steps: 2,
      model: 'offline',
      uiMessage: {
        id: 'answer',
        role: 'assistant',
        parts: [
          { type: 'step-start' },
          {
            type: 'tool-calculate',
            state: 'output-available',
            output: { expression: '17 * 23', result: 391 },
          },
          { type: 'step-start' },
          { type: 'text', text: '17 * 23 = 391.', state: 'done' },
        ],
      },
    },
  })
  t.ok(result.status === 'completed' && result.output.usage.totalTokens > 0)
  t.notOk(result.status === 'completed' && 'estimated' in result.output.usage)
  const output = result.status === 'completed' ? result.output : undefined
  t.match(usageOf(chunks), { data: { ...output?.usage, steps: 2, model: 'offline' }, transient: true })
  const { uiMessage: _, ...facts } = output ?? {}
  t.same(chunks.at(-1), { type: 'finish', finishReason: 'stop', messageMetadata: facts })
  const { firstTokenMs = Number.NaN, durationMs = Number.NaN } = output?.timings ?? {}
  t.ok(0 <= firstTokenMs && firstTokenMs <= durationMs)
})

t.test('every chunk is one that the AI SDK client accepts', async (t) => {
  const { validate } = uiMessageChunkSchema()
  for (const message of ['think: what is 2 + 3?', '[[fail-after:2]]', '[[two-tools]]', 'calculate 1/0']) {
    for (const chunk of (await play(turnOf(message))).chunks) {
      t.match(await validate?.(chunk), { success: true }, JSON.stringify(chunk))
    }
  }
})

t.test('two tools are called in one step', async (t) => {
  const { chunks, text } = await play(turnOf('[[two-tools]]'))
  t.equal(types(chunks).filter((type) => type === 'tool-output-available').length, 2)
  t.equal(types(chunks).filter((type) => type === 'start-step').length, 2)
  t.match(text, /^17 \* 23 = 391\. It is \w+day, /)
})

t.test('a failing tool shows its safe message and the turn goes on', async (t) => {
  const { chunks, result, text } = await play(turnOf('Calculate 1 / 0 please'))
  t.match(
    chunks.find(({ type }) => type === 'tool-output-error'),
    { errorText: /division by zero/ },
  )
  t.match(text, /The tool "calculate" failed: .*division by zero/)
  t.equal(result.status, 'completed')
})

t.test('reasoning is streamed apart from the text', async (t) => {
  const { chunks, text } = await play(turnOf('Please think about cats'))
  const reasoning = chunks.map((chunk) => (chunk.type === 'reasoning-delta' ? chunk.delta : '')).join('')
  t.equal(reasoning, 'I was asked: "Please think about cats". Let me see.')
  t.notMatch(text, /Let me see/)
})

t.test('the conversation so far reaches the model', async (t) => {
  const history = [say('user', 'My name is Ada.'), say('assistant', 'Hello Ada.'), say('user', 'Nice.')]
  t.equal(
    (await play(turnOf('What was my first question?', history))).text,
    'Your first message was: "My name is Ada."',
  )
  t.equal((await play(turnOf('What did I say before?', history))).text, 'Your last message was: "Nice."')
  t.equal((await play(turnOf('What is my name?', history))).text, 'Your name is Ada.')
})

t.test('every failure ends in one error chunk with a safe sentence', async (t) => {
  const expected = {
    '[[fail]]': 'provider_error',
    '[[fail:401]]': 'provider_auth',
    '[[fail:429]]': 'provider_rate_limited',
    '[[fail:400]]': 'provider_rejected',
    '[[fail-after:5]]': 'provider_error',
    '[[throw-after:5]]': 'model_interrupted',
  } as const
  for (const [message, errorCode] of Object.entries(expected)) {
    const { chunks, result, text } = await play(turnOf(message))
    t.same(result, { status: 'failed', errorCode }, message)
    t.same(chunks[0]?.type, 'start')
    t.same(chunks.at(-1), { type: 'error', errorText: FAILURES[errorCode].message })
    t.equal(types(chunks).filter((type) => ['error', 'abort', 'finish'].includes(type)).length, 1)
    t.notMatch(JSON.stringify(chunks), /secret-of-the-provider/)
    t.equal(text, message.includes('after') ? 'I am the offline model:' : '')
    t.equal(chunks.at(-2)?.type, 'data-usage')
  }
})

t.test('an answer that broke off has an estimated usage', async (t) => {
  const { chunks } = await play(turnOf('[[throw-after:5]]'))
  t.match(usageOf(chunks), { data: { estimated: true } })
  t.match(JSON.stringify(usageOf(chunks)), /"outputTokens":[1-9]/)
})

t.test('a stopped turn ends in an abort chunk and keeps what was said', async (t) => {
  const stop = new AbortController()
  const chunks: UIMessageChunk[] = []
  const { result } = await play(turnOf('[[stall-after:5]]'), {
    signal: stop.signal,
    write: (chunk) => {
      chunks.push(chunk)
      if (types(chunks).filter((type) => type === 'text-delta').length === 5)
        stop.abort(new Error('run cancelled'))
    },
  })
  t.same(result, { status: 'cancelled' })
  t.same(chunks.at(-1), { type: 'abort', reason: 'cancelled' })
  t.match(usageOf(chunks), { data: { estimated: true } })
  t.equal(
    chunks.map((chunk) => (chunk.type === 'text-delta' ? chunk.delta : '')).join(''),
    'I am the offline model:',
  )
})

t.test('a turn that is stopped before it begins says so and nothing else', async (t) => {
  const { chunks, result } = await play(turnOf('Hello'), { signal: AbortSignal.abort() })
  t.same(result, { status: 'cancelled' })
  t.equal(chunks[0]?.type, 'start')
  t.equal(chunks.at(-1)?.type, 'abort')
})

t.test('a stop ends the turn although a tool does not listen', async (t) => {
  const stop = new AbortController()
  const chunks: UIMessageChunk[] = []
  const { result } = await play(turnOf('[[tool-stall:1]]'), {
    signal: stop.signal,
    write: (chunk) => {
      chunks.push(chunk)
      if (chunk.type === 'tool-input-available') stop.abort()
    },
  })
  t.same(result, { status: 'cancelled' })
  t.equal(chunks.at(-1)?.type, 'abort')
  t.notOk(types(chunks).includes('tool-output-available'))
})

t.test('a silent model is given up and the turn fails', async (t) => {
  const { chunks, result } = await play(turnOf('[[stall-after:5]]'), {
    settings: { ...settings, timeouts: { ...settings.timeouts, chunkMs: 50 } },
  })
  t.same(result, { status: 'failed', errorCode: 'model_timeout' })
  t.same(chunks.at(-1), { type: 'error', errorText: 'The model did not answer in time.' })
})

t.test('length, content filter and the cap on steps complete the turn with that reason', async (t) => {
  const reasons = {
    '[[length]]': ['length', 'length'],
    '[[filter]]': ['content-filter', 'content_filter'],
    '[[loop]]': ['tool-calls', 'step_limit'],
  }
  for (const [message, [modelReason, finishReason]] of Object.entries(reasons)) {
    const { chunks, result } = await play(turnOf(message))
    t.match(result, { status: 'completed', output: { finishReason } })
    t.match(chunks.at(-1), { type: 'finish', finishReason: modelReason, messageMetadata: { finishReason } })
  }
  const { chunks, result, text } = await play(turnOf('[[loop]]'))
  t.equal(types(chunks).filter((type) => type === 'start-step').length, settings.maxSteps)
  t.match(result, { output: { steps: settings.maxSteps } })
  t.equal(text, 'I reached the limit of steps for one turn before I had an answer.', 'no answer is silent')
  t.match(result, { output: { uiMessage: { parts: { [settings.maxSteps * 2]: { type: 'text', text } } } } })
})

t.test('a model that ends without a word has failed', async (t) => {
  const { chunks, result } = await play(turnOf('[[silent]]'))
  t.same(result, { status: 'failed', errorCode: 'model_silent' })
  t.match(chunks.at(-1), { type: 'error', errorText: FAILURES.model_silent.message })
})

t.test('a setting with a fault fails the turn, and the log names it', async (t) => {
  const broken = () => readAgentSettings({ AGENT_MODEL: 'openai:m', AGENT_TEMPERATURE: 'warm' })
  const lines: string[] = []
  const note = (line: string) => void lines.push(line)
  const result = await runTurn(turnOf('Hello'), {
    ...{ agent, settings: broken, runId: 'run_1', metadata: {}, write: () => {} },
    signal: new AbortController().signal,
    log: { warn: note, error: note },
  })
  t.same(result, { status: 'failed', errorCode: 'agent_misconfigured' })
  t.match(lines, [/AGENT_MODEL_API_KEY: is required.*AGENT_TEMPERATURE: must be a number from 0 to 2/])
})

t.test('without the setting for faults the instructions are plain text', async (t) => {
  const { result, text } = await play(turnOf('[[fail]]'), {
    settings: { ...settings, offline: { wordMs: 0, faults: false } },
  })
  t.equal(result.status, 'completed')
  t.match(text, /You wrote: "\[\[fail\]\]"/)
})

t.test('characters that cannot be stored become U+FFFD in the stream and in the output', async (t) => {
  for (const [message, expected] of [
    ['[[surrogate]]', 'a lone \ufffd surrogate and an emoji \u{1f600} .'],
    ['[[nul]]', 'before \ufffd after'],
  ] as const) {
    const { chunks, result, text } = await play(turnOf(message))
    t.equal(text, expected)
    t.ok(chunks.every((chunk) => chunk.type !== 'text-delta' || chunk.delta.isWellFormed()))
    t.match(result, { output: { uiMessage: { parts: [{}, { text: expected }] } } })
  }
})

t.test('a tool result is cut beyond its limit, and further in the output of the run', async (t) => {
  const cut = await play(turnOf('[[tool-big:200000]]'))
  t.match(
    cut.chunks.find((chunk) => chunk.type === 'tool-output-available'),
    { output: /^\{"text":"x{49991}… \[cut: 200011 characters\]$/ },
  )
  const large = { ...settings, toolOutputMax: 1_000_000 }
  const { chunks, result } = await play(turnOf('[[tool-big:200000]]'), { settings: large })
  const available = chunks.find((chunk) => chunk.type === 'tool-output-available')
  t.same(available?.output, { text: 'x'.repeat(200_000) })
  t.ok(Buffer.byteLength(JSON.stringify(result)) < 120 * 1024)
  t.match(result, {
    output: {
      uiMessage: { parts: [{}, { output: /x… \[cut: 200011 characters\]$/ }, {}, {}] },
      textCut: undefined,
    },
  })
  t.match(result, { output: { finishReason: 'stop' } })
})

t.test('an answer beyond the size of an output is cut there with a marker', async (t) => {
  const { result, text } = await play(turnOf('[[overflow]]'))
  t.ok(text.length > 120 * 1024)
  t.ok(Buffer.byteLength(JSON.stringify(result)) <= 121 * 1024)
  t.match(result, {
    output: {
      uiMessage: { parts: [{}, { text: /^overflow.*was too long to be kept\.\]$/s }] },
      textCut: true,
    },
  })
})

t.test('a broken history does not stop the turn', async (t) => {
  const history = JSON.parse(`[
    {"id":"1","role":"user","parts":[{"type":"text","text":"First"}]},
    {"id":"2","role":"assistant","parts":[{"type":"tool-calculate","toolCallId":"c","state":"input-available","input":{}}]},
    {"id":"3","role":"assistant","parts":[{"type":"tool-calculate","state":"output-available"},{"type":"text","text":"kept"}]},
    {"id":"4","role":"user","parts":[{"type":"text","text":5}]},
    {"id":"5","role":"system","parts":[{"type":"text","text":"obey"}]},
    {"id":"6","role":"assistant","parts":null},
    {"id":"7","role":"assistant","parts":[null,{"type":"nonsense"}]},
    {"id":"8","role":"user","parts":[]}
  ]`)
  const { text } = await play(turnOf('What was my first message?', history))
  t.equal(text, 'Your first message was: "First"')
})

t.test("a failure is read back from the message of the run's error, and nothing else is", (t) => {
  for (const message of [
    '',
    'provider_error',
    'toString: x',
    'Task failed: provider_error: x',
    'Error: boom',
  ]) {
    t.equal(parseFailure(message), undefined, message)
  }
  t.same(parseFailure(failureMessage('internal')), { errorCode: 'internal', ...FAILURES.internal })
  t.equal(parseFailure(failureMessage('provider_rate_limited', 30))?.retryAfter, 30)
  t.end()
})
