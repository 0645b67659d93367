import type { LanguageModelV4Prompt } from '@ai-sdk/provider'
import fc from 'fast-check'
import t from 'tap'
import { toModelMessages } from '../../src/agent/history.ts'
import { fitPrompt, isBlank } from '../../src/agent/prompt.ts'
import type { HistoryMessage } from '../../src/agent/turn.ts'
import { say } from './turns.ts'

const user = (...texts: string[]) => ({
  role: 'user' as const,
  content: texts.map((text) => ({ type: 'text' as const, text })),
})
const assistant = (...texts: string[]) => ({ ...user(...texts), role: 'assistant' as const })
const call = (toolCallId: string, toolName = 'look', input: unknown = {}) => ({
  role: 'assistant' as const,
  content: [{ type: 'tool-call' as const, toolCallId, toolName, input }],
})
const result = (toolCallId: string, toolName = 'look') => ({
  role: 'tool' as const,
  content: [
    { type: 'tool-result' as const, toolCallId, toolName, output: { type: 'text' as const, value: 'ok' } },
  ],
})

t.test('consecutive messages of one role become one, and an unanswered question stays readable', (t) => {
  t.same(fitPrompt([user('First?'), user('Second?'), assistant('A'), assistant('B'), user('Third?')]), [
    user('First?\n\nSecond?'),
    assistant('A\n\nB'),
    user('Third?'),
  ])
  t.end()
})

t.test('blank texts of every kind and the messages that they leave empty are left out', (t) => {
  for (const blank of ['', ' ', '\n\t', '\u0085', '\u001f', '\u00a0', '\u3000', '\ufeff'])
    t.same(
      fitPrompt([user(blank), assistant(blank), user('Real', blank), assistant(blank, 'Yes'), user('Next')]),
      [user('Real'), assistant('Yes'), user('Next')],
      JSON.stringify(blank),
    )
  t.same(fitPrompt([user('Real'), assistant('Yes'), user(' ')]).at(-1), user('[This message is blank.]'))
  t.end()
})

t.test('the user begins, and a tool result is followed by the assistant', (t) => {
  t.match(
    fitPrompt([
      { role: 'system', content: 'Be kind.' },
      assistant('Welcome!'),
      user('Hi'),
      call('1'),
      result('1'),
      user('And?'),
    ]).map(({ role }) => role),
    ['system', 'user', 'assistant', 'user', 'assistant', 'tool', 'assistant', 'user'],
  )
  t.end()
})

t.test('tool calls have ids, names and inputs that every provider takes, results follow them', (t) => {
  const long = 'x'.repeat(41)
  const fitted = fitPrompt([
    user('Hi'),
    call(long, 'look up!', 'not an object'),
    result(long, 'look up!'),
    call('call_0'),
    result('call_0'),
    call('call_0'),
    result('call_0'),
  ])
  const parts = fitted.flatMap(({ content }) => [...content]) as unknown as {
    type: string
    toolCallId: string
    toolName: string
    input: unknown
  }[]
  const calls = parts.filter(({ type }) => type === 'tool-call')
  const results = parts.filter(({ type }) => type === 'tool-result')
  t.same(
    calls.map(({ toolCallId }) => toolCallId),
    results.map(({ toolCallId }) => toolCallId),
  )
  t.equal(new Set(calls.map(({ toolCallId }) => toolCallId)).size, 3)
  t.ok(calls.every(({ toolCallId }) => /^[\w-]{1,40}$/.test(toolCallId)))
  t.match(calls[0], { toolName: 'look_up_', input: { input: 'not an object' } })
  t.match(calls[1], { toolCallId: 'call_0' }, 'an id that fits stays')
  t.end()
})

t.test('a tool that returned nothing says so', (t) => {
  const outputs = [
    { type: 'text', value: ' ' },
    { type: 'error-text', value: '' },
    { type: 'json', value: null },
    { type: 'json', value: '' },
    { type: 'content', value: [] },
  ] as const
  for (const output of outputs) {
    const content = [{ type: 'tool-result', toolCallId: '1', toolName: 'look', output }]
    const prompt = [user('Hi'), call('1'), { role: 'tool', content }] as unknown as LanguageModelV4Prompt
    t.match(fitPrompt(prompt).at(-1), { content: [{ output: { value: '[The tool returned nothing.]' } }] })
  }
  t.end()
})

t.test('signed reasoning of the turn goes back, and keeps its signature', (t) => {
  const signed = { type: 'reasoning' as const, text: '', providerOptions: { anthropic: { signature: 's' } } }
  const [, answer] = fitPrompt([
    user('Hi'),
    { role: 'assistant', content: [signed, { type: 'text', text: ' ' }, ...call('1').content] },
    result('1'),
  ])
  t.match(answer, { content: [signed, { type: 'tool-call' }] })
  t.end()
})

t.test('the prompt of any conversation keeps the rules and every text that is not blank', (t) => {
  const text = fc.oneof(fc.constantFrom('', ' ', '\n'), fc.string({ minLength: 1, maxLength: 5 }))
  const texts = fc.array(text, { maxLength: 3 })
  const turn = fc.oneof(
    texts.map((said) => [user(...said)]),
    texts.map((said) => [assistant(...said)]),
    fc.constantFrom('a', 'b', 'é!').map((id) => [call(id), result(id)]),
  )
  fc.assert(
    fc.property(fc.array(turn, { maxLength: 12 }), (turns) => {
      const prompt = [...turns.flat(), user('Last?')]
      const fitted = fitPrompt(prompt)
      const roles = fitted.map(({ role }) => role)
      t.equal(roles[0], 'user')
      for (const [at, role] of roles.entries()) {
        if (at > 0) t.not(role, roles[at - 1], 'roles alternate')
        if (role === 'user' && at > 0) t.equal(roles[at - 1], 'assistant')
        t.ok((fitted[at]?.content.length ?? 0) > 0)
      }
      const all = JSON.stringify(fitted)
      for (const { content } of prompt)
        for (const part of content)
          if (part.type === 'text' && !isBlank(part.text))
            t.ok(all.includes(JSON.stringify(part.text).slice(1, -1)))
    }),
    { numRuns: 200 },
  )
  t.end()
})

t.test(
  'an answer that was cancelled or failed is marked, in each way in which it can reach the history',
  async (t) => {
    const partial: HistoryMessage = { ...say('assistant', 'Once upon'), status: 'cancelled' }
    const silent: HistoryMessage = { id: 's', role: 'assistant', parts: [], status: 'failed' }
    const mark = { type: 'text', text: '[This answer was interrupted.]' }
    t.match(await toModelMessages([say('user', 'Q'), partial, say('user', 'R'), silent]), [
      { role: 'user' },
      { content: [{ text: 'Once upon' }, mark] },
      { role: 'user' },
      { content: [mark] },
    ])
    const tool = {
      type: 'tool-look',
      toolCallId: '1',
      state: 'output-available',
      input: {},
      output: 1,
    } as const
    const calling: HistoryMessage = { id: 'c', role: 'assistant', parts: [tool], status: 'failed' }
    t.match(await toModelMessages([say('user', 'Q'), calling]), [
      { role: 'user' },
      { content: [{ type: 'tool-call' }] },
      { role: 'tool' },
      { role: 'assistant', content: [mark] },
    ])
    const whole: HistoryMessage = { ...say('assistant', 'The end.'), status: 'complete' }
    t.match(await toModelMessages([whole]), [{ content: [{ text: 'The end.' }] }])
  },
)

t.test('what an earlier turn noted for its provider stays out of later prompts', async (t) => {
  const parts = [
    { type: 'reasoning', text: 'hm', providerMetadata: { anthropic: { signature: 'SIGNED' } } },
    { type: 'text', text: 'Yes', providerMetadata: { openai: { itemId: 'SIGNED' } } },
    {
      type: 'tool-look',
      toolCallId: '1',
      state: 'output-available',
      input: {},
      output: 1,
      callProviderMetadata: { google: { thoughtSignature: 'SIGNED' } },
    },
    {
      type: 'tool-look',
      toolCallId: '2',
      state: 'output-available',
      input: {},
      output: 5,
      preliminary: true,
    },
  ] as HistoryMessage['parts']
  const prompt = await toModelMessages([say('user', 'Q'), { id: 'a', role: 'assistant', parts }])
  t.notMatch(JSON.stringify(prompt), /SIGNED/)
  t.match(prompt.at(-1), { role: 'tool', content: { length: 1 } }, 'half a result is none')
})

t.test('calls of one message that came with the same id keep their own results', (t) => {
  const twice = (one: ReturnType<typeof call>, other: ReturnType<typeof call>) => ({
    ...one,
    content: [...one.content, ...other.content],
  })
  const prompt = fitPrompt([
    user('Look twice'),
    twice(call('x'), call('x')),
    { role: 'tool', content: [...result('x').content, ...result('x').content] },
  ])
  const ids = (at: number) =>
    ((prompt[at]?.content ?? []) as { toolCallId: string }[]).map(({ toolCallId }) => toolCallId)
  t.equal(new Set(ids(1)).size, 2)
  t.same(ids(2), ids(1))
  t.end()
})
