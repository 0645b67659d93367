import { generateText } from 'ai'
import fc from 'fast-check'
import t from 'tap'
import { findExpression } from '../../src/agent/offline/arithmetic.ts'
import { createOfflineModel } from '../../src/agent/offline/model.ts'
import { planReply } from '../../src/agent/offline/plan.ts'
import { createToolbox } from '../../src/agent/tools/toolbox.ts'
import { evaluate } from '../../src/agents/default/tools/calculate.ts'
import { describeTime } from '../../src/agents/default/tools/current-time.ts'
import { createTools } from '../../src/agents/default/tools/index.ts'
import { settings } from './turns.ts'

const model = createOfflineModel({ wordMs: 0, faults: false })
const ask = (message: string, earlier: string[] = []) =>
  planReply({ message, earlier, results: [], tools: ['calculate'] })

t.test('the offline model finds the arithmetic expression within a sentence', (t) => {
  const expected: Record<string, string | undefined> = {
    'What is 17 * 23?': '17 * 23',
    'calculate 2^10 / 4': '2^10 / 4',
    'What is 17 × 23 − 4?': '17 * 23 - 4',
    'How much is (1 + 2) * 3, please?': '(1 + 2) * 3',
    'what is -5 + 3': '-5 + 3',
    '12 times 12': '12 * 12',
    '10 divided by 4 plus 1': '10 / 4 + 1',
    '1,000,000 * 2': '1000000 * 2',
    '3 x 4': '3 * 4',
    'Between 1.5*2 and 17 * 23 + 1': '17 * 23 + 1',
    'It happened on 2024-05-01.': undefined,
    'I am 42 years old.': undefined,
    'Room 4-B, floor 3': undefined,
    Hello: undefined,
  }
  for (const [message, expression] of Object.entries(expected))
    t.equal(findExpression(message), expression, message)
  t.end()
})

t.test('arithmetic is exact where binary fractions allow it, and nothing but arithmetic is taken', (t) => {
  const expected: Record<string, number> = {
    '17 * 23': 391,
    '2^10 / 4': 256,
    '0.1 + 0.2': 0.3,
    '-(3 - 5) % 2': 0,
    '2^53 - 1': 9007199254740991,
    'sqrt(2)^2': 2,
    'max(1, 2, min(5, 3))': 3,
    'round(2 * PI)': 6,
    '1 / 3': 0.333333333333333,
  }
  for (const [expression, value] of Object.entries(expected))
    t.equal(evaluate(expression) + 0, value, expression)
  for (const rubbish of [
    '1/0',
    '0/0',
    '9^9^9',
    '2 +',
    'x + 1',
    'x = 5',
    'f(x) = x',
    '"a"',
    '[1, 2]',
    '1 == 1',
    'random()',
  ]) {
    t.throws(() => evaluate(rubbish), { name: 'ToolError' }, rubbish)
  }
  for (const attack of [
    'constructor',
    'toString()',
    '__proto__',
    'max.constructor("return 1")()',
    '{}',
    '5!',
    'E.x',
  ]) {
    t.throws(() => evaluate(attack), { name: 'ToolError' }, attack)
  }
  fc.assert(
    fc.property(fc.string({ maxLength: 60 }), (expression) => {
      try {
        t.ok(Number.isFinite(evaluate(expression)))
      } catch (error) {
        t.match(error, { name: 'ToolError' })
      }
    }),
  )
  t.end()
})

t.test('the time is told for a time zone, and an unknown one is refused', (t) => {
  const now = new Date('2026-07-01T12:00:00Z')
  t.match(describeTime(now, 'Europe/Berlin'), {
    iso: '2026-07-01T12:00:00.000Z',
    timeZone: 'Europe/Berlin',
    local: /^Wednesday,? 1 July 2026.* 14:00:00 CEST$/,
  })
  t.throws(() => describeTime(now, 'Mars/Base'), { name: 'ToolError', message: /IANA/ })
  t.same(ask('What time is it in Asia/Tokyo?').calls, [
    { toolName: 'current_time', input: { timeZone: 'Asia/Tokyo' } },
  ])
  t.same(ask("Please tell me today's date").calls, [{ toolName: 'current_time', input: {} }])
  t.end()
})

t.test('a long message with any repetition is understood', (t) => {
  const times = (text: string, end = '') => text.repeat(100_000 / text.length) + end
  // Each was once read again from every place in it: that takes longer than a test may.
  t.equal(findExpression(times('('.repeat(10), '1 + 2')), `${'('.repeat(32)}1 + 2`)
  t.equal(findExpression(times(' ', '3 x') + times(' ', '4')), '3 * 4')
  t.equal(findExpression(`1${times('-', ' ')}`), undefined)
  t.equal(ask(times('what ')).calls, undefined)
  t.match(ask(times('what ', 'time is it?')).calls, [{ toolName: 'current_time' }])
  t.equal(ask('what is this?\nIt is about time.').calls, undefined, 'a question is one line')
  t.equal(ask(`A story of ${times('9')} chapters`).text?.match(/\./g)?.length, 5)
  t.end()
})

t.test('stories have as many sentences as asked for and are the same every time', (t) => {
  for (const [message, sentences] of [
    ['Tell me a story of 12 sentences', 12],
    ['Tell me a story', 5],
    ['A story with 1 sentence', 1],
    ['A story of 99999 sentences', 2000],
  ] as const) {
    const { text } = ask(message)
    t.equal(text?.match(/\./g)?.length, sentences, message)
    t.equal(ask(message).text, text)
  }
  t.not(ask('A story of 12 sentences').text, ask('Another story of 12 sentences').text)
  t.end()
})

t.test('the offline model recalls earlier messages of the conversation', (t) => {
  const earlier = ['What is 1 + 1?', 'Nice weather', 'Bye']
  t.equal(ask('What was my very first question?', earlier).text, 'Your first message was: "What is 1 + 1?"')
  t.equal(ask('what was my last question', earlier).text, 'Your last message was: "Bye"')
  t.equal(ask('What did I say before?', earlier).text, 'Your last message was: "Bye"')
  t.equal(ask('What was my first question?').text, 'You have not said anything before this message.')
  t.equal(ask('What is my name?').text, 'You have not told me your name.')
  t.end()
})

t.test('a tool that is named is called, when there is one of that name', (t) => {
  const input = { expression: '1 + 1' }
  t.same(ask('Call calculate with {"expression":"1 + 1"}').calls, [{ toolName: 'calculate', input }])
  t.same(ask('please call the tool `calculate`').calls, [{ toolName: 'calculate', input: {} }])
  t.equal(ask('Call mother with {"love":true}').calls, undefined)
  t.match(ask('Call calculate with {nonsense}').text, /not well-formed JSON/)
  t.end()
})

t.test('greetings are short, and all else is quoted in short', (t) => {
  t.equal(ask('Hello!').text, 'Hello! How can I help you?')
  t.match(ask(`Please ${'x'.repeat(500)}`).text, /^I am the offline model: .*You wrote: "Please x{193}…"$/)
  t.match(ask('Are you \u{1f600}?').text, /You wrote: "Are you \u{1f600}\?"$/u)
  t.end()
})

t.test('without streaming the model answers the same, with calls, reasoning and usage', async (t) => {
  const options = { runId: 'run_1', caller: undefined, context: {}, timeoutMs: 1000, outputMax: 1000 }
  const { tools } = createToolbox(createTools(settings), { ...options, log: { warn() {}, error() {} } })
  const { toolCalls, finishReason, usage } = await generateText({ model, tools, prompt: 'What is 17 * 23?' })
  t.match(toolCalls, [{ toolName: 'calculate', input: { expression: '17 * 23' } }])
  t.equal(finishReason, 'tool-calls')
  t.ok((usage.inputTokens ?? 0) > 0 && (usage.outputTokens ?? 0) > 0)
  const thought = await generateText({ model, prompt: 'Think: hello' })
  t.match(thought.reasoningText, /^I was asked: "Think: hello"/)
  t.match(thought.text, /^I am the offline model/)
})

t.test('words take their time, and an abort is noticed in the middle of one', async (t) => {
  const slow = createOfflineModel({ wordMs: 60_000, faults: false })
  const stop = new AbortController()
  const { stream } = await slow.doStream({
    prompt: [{ role: 'user', content: [{ type: 'text', text: 'Hello' }] }],
    abortSignal: stop.signal,
  })
  const reader = stream.getReader()
  for (;;) {
    const { value } = await reader.read()
    if (value?.type === 'text-delta') break
  }
  const next = reader.read()
  stop.abort(new Error('enough'))
  await t.rejects(next)
})
