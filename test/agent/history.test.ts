import { readUIMessageStream } from 'ai'
import fc from 'fast-check'
import t from 'tap'
import { toModelMessages, windowHistory } from '../../src/agent/history.ts'
import { fitOutput } from '../../src/agent/output.ts'
import type { TurnMessage } from '../../src/agent/turn.ts'
import { play, say, turnOf } from './turns.ts'

const bytes = (value: unknown) => Buffer.byteLength(JSON.stringify(value))
const message = fc
  .tuple(
    fc.constantFrom<'user' | 'assistant'>('user', 'assistant'),
    fc.string({ maxLength: 80, unit: 'grapheme' }),
  )
  .map(([role, text]) => say(role, text))
const conversation = fc.array(message, { maxLength: 60 })
const limits = fc.record({
  messages: fc.integer({ min: 1, max: 60 }),
  bytes: fc.integer({ min: 50, max: 5000 }),
})

t.test('the window is the longest end of the conversation that fits and begins with a turn', (t) => {
  fc.assert(
    fc.property(conversation, limits, (messages, window) => {
      const kept = windowHistory(messages, window)
      t.ok(kept.length <= window.messages && (kept.length === 0 || bytes(kept) <= window.bytes + 1))
      t.same(kept, kept.length === 0 ? [] : messages.slice(-kept.length), 'the newest are kept')
      if (kept.length === messages.length) return
      if (kept.length > 0) t.equal(kept[0]?.role, 'user', 'turns are whole')
      const start = messages.length - kept.length
      const before = Math.max(
        messages.findLastIndex(({ role }, at) => at < start && role === 'user'),
        0,
      )
      const more = messages.slice(before)
      t.ok(more.length > window.messages || bytes(more) > window.bytes - 2, 'one turn more would not fit')
    }),
    { numRuns: 200 },
  )
  t.end()
})

t.test('by default the window has 50 messages and 120 KiB', (t) => {
  const turns = Array.from({ length: 100 }, (_, n) => say(n % 2 ? 'assistant' : 'user', `${n}`))
  t.same(windowHistory(turns), turns.slice(-50))
  const big = ['user', 'assistant', 'user', 'assistant'].map((role) =>
    say(role as 'user', 'x'.repeat(40_000)),
  )
  t.same(windowHistory(big), big.slice(-2))
  t.same(windowHistory([say('user', 'x'.repeat(130_000))]), [])
  t.end()
})

t.test(
  'tool calls keep their results in the prompt, unfinished ones and reasoning are left out',
  async (t) => {
    const parts: TurnMessage['parts'] = [
      { type: 'step-start' },
      { type: 'reasoning', text: 'hm', state: 'done' },
      {
        type: 'tool-calculate',
        toolCallId: 'a',
        state: 'output-available',
        input: { expression: '1' },
        output: 1,
      },
      { type: 'tool-calculate', toolCallId: 'b', state: 'input-available', input: { expression: '2' } },
      { type: 'step-start' },
      { type: 'text', text: 'It is 1.', state: 'done' },
    ]
    t.match(await toModelMessages([say('user', 'How much?'), { id: 'x', role: 'assistant', parts }]), [
      { role: 'user' },
      { role: 'assistant', content: [{ type: 'tool-call', toolCallId: 'a' }] },
      {
        role: 'tool',
        content: [{ type: 'tool-result', toolCallId: 'a', output: { type: 'json', value: 1 } }],
      },
      { role: 'assistant', content: [{ type: 'text', text: 'It is 1.' }] },
    ])
  },
)

t.test('an answer cut off after any chunk leaves a prompt in which every call has its result', async (t) => {
  const { chunks } = await play(turnOf('think: [[two-tools]]'))
  t.ok(chunks.length > 15)
  for (let length = 1; length < chunks.length; length++) {
    let answer: TurnMessage | undefined
    const stream = ReadableStream.from(chunks.slice(0, length))
    for await (const message of readUIMessageStream({ stream })) answer = message
    const prompt = await toModelMessages([...(answer ? [answer] : []), say('user', 'Go on')])
    const json = JSON.stringify(prompt)
    const ids = (type: string) =>
      [...json.matchAll(new RegExp(`"type":"${type}","toolCallId":"([^"]+)"`, 'g'))].map(([, id]) => id)
    t.same(ids('tool-call'), ids('tool-result'), `after ${length} chunks`)
    if (length === chunks.length - 1) t.equal(ids('tool-call').length, 2)
    t.equal(prompt.at(-1)?.role, 'user')
  }
})

t.test('a history of any JSON becomes a prompt', async (t) => {
  const rubbish = fc.record({
    id: fc.string(),
    role: fc.constantFrom('user', 'assistant'),
    parts: fc.jsonValue(),
  })
  await fc.assert(
    fc.asyncProperty(fc.array(rubbish, { maxLength: 5 }), async (messages) => {
      const prompt = await toModelMessages([...(messages as TurnMessage[]), say('user', 'Hello')])
      t.same(prompt.at(-1), { role: 'user', content: [{ type: 'text', text: 'Hello' }] })
    }),
    { numRuns: 100 },
  )
})

t.test('every output fits into 120 KiB and keeps the answer as long as that is possible', (t) => {
  const part = fc.oneof(
    fc.nat(90_000).map((n) => ({ type: 'text' as const, text: 'é'.repeat(n) })),
    fc.nat(90_000).map((n) => ({ type: 'reasoning' as const, text: 'r'.repeat(n) })),
    fc.nat(300_000).map((n) => ({
      type: 'tool-filler' as const,
      toolCallId: 'c',
      state: 'output-available' as const,
      input: {},
      output: 'x'.repeat(n),
    })),
  )
  fc.assert(
    fc.property(fc.array(part, { maxLength: 6 }), (parts) => {
      const usage = { inputTokens: 1, outputTokens: 1, totalTokens: 2 }
      const output = {
        uiMessage: { id: 'a', role: 'assistant' as const, parts },
        usage,
        finishReason: 'stop',
      }
      const fitted = fitOutput(output)
      t.ok(bytes(fitted) <= 120 * 1024)
      if (bytes(output) <= 120 * 1024) t.same(fitted, output)
      const texts = parts.filter(({ type }) => type === 'text')
      if (bytes(texts) < 100_000)
        t.same(
          fitted.uiMessage.parts.filter(({ type }) => type === 'text'),
          texts,
        )
    }),
    { numRuns: 60 },
  )
  t.end()
})
