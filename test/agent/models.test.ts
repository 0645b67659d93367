import t from 'tap'
import { agentFaults, readAgentSettings } from '../../src/agent/settings.ts'
import { settings as offline, play, turnOf } from './turns.ts'
import { anthropic } from './wire/anthropic.ts'
import { google } from './wire/google.ts'
import { openaiChat } from './wire/openai-chat.ts'
import { openaiResponses } from './wire/openai-responses.ts'
import { type Behaviour, open, refuses, says, startProvider } from './wire/server.ts'

t.test('models are named with their provider, and the old spelling is a compatible one', (t) => {
  const models = (env: Record<string, string>) =>
    readAgentSettings({ AGENT_MODEL_API_KEY: 'k', ...env }).models
  t.match(models({ AGENT_MODEL: 'anthropic:claude-x' }), [
    { provider: 'anthropic', model: 'claude-x', baseUrl: 'https://api.anthropic.com/v1', apiKey: 'k' },
  ])
  t.match(models({ AGENT_MODEL: 'gpt-5-mini' }), [
    { provider: 'compatible', model: 'gpt-5-mini', baseUrl: 'https://api.openai.com/v1' },
  ])
  t.match(models({ AGENT_MODEL: 'llama3:8b', AGENT_MODEL_BASE_URL: 'http://localhost:11434/v1/' }), [
    { provider: 'compatible', model: 'llama3:8b', baseUrl: 'http://localhost:11434/v1' },
  ])
  t.same(readAgentSettings({ AGENT_MODEL: '' }).models, [])
  t.same(agentFaults({ AGENT_MODEL: 'openai:', AGENT_MODEL_API_KEY: 'k' }), [
    'AGENT_MODEL: names a provider without a model',
  ])
  t.same(agentFaults({ AGENT_MODEL_FALLBACK: 'x' }), ['AGENT_MODEL_FALLBACK: needs AGENT_MODEL'])
  t.end()
})

t.test('a key, an address and headers of one provider are for no other', (t) => {
  const { models } = readAgentSettings({
    AGENT_MODEL: 'openai:a',
    AGENT_MODEL_API_KEY: 'key-of-openai',
    AGENT_MODEL_BASE_URL: 'https://proxy.example/v1',
    AGENT_MODEL_HEADERS: '{"x-team":"secret"}',
    AGENT_MODEL_FALLBACK: 'anthropic:b, compatible:c ,google:d,openai:e',
    AGENT_ANTHROPIC_API_KEY: 'key-of-anthropic',
    AGENT_COMPATIBLE_BASE_URL: 'http://localhost:8000/v1',
    AGENT_GOOGLE_API_KEY: 'key-of-google',
  })
  const own = {
    baseUrl: 'https://proxy.example/v1',
    apiKey: 'key-of-openai',
    headers: { 'x-team': 'secret' },
  }
  t.same(models, [
    { provider: 'openai', model: 'a', ...own },
    {
      provider: 'anthropic',
      model: 'b',
      baseUrl: 'https://api.anthropic.com/v1',
      apiKey: 'key-of-anthropic',
    },
    { provider: 'compatible', model: 'c', baseUrl: 'http://localhost:8000/v1' },
    {
      provider: 'google',
      model: 'd',
      baseUrl: 'https://generativelanguage.googleapis.com/v1beta',
      apiKey: 'key-of-google',
    },
    { provider: 'openai', model: 'e', ...own },
  ])
  t.end()
})

t.test('a server without a key in the settings gets no key from the environment', async (t) => {
  for (const name of ['OPENAI_API_KEY', 'ANTHROPIC_API_KEY', 'GOOGLE_GENERATIVE_AI_API_KEY']) {
    process.env[name] = 'key-of-another'
    t.teardown(() => delete process.env[name])
  }
  for (const dialect of [openaiResponses, anthropic, google, openaiChat]) {
    const { settings, calls } = await startProvider(t, dialect, says(dialect, { text: 'Hi.' }))
    const models = settings.models.map(({ apiKey: _, ...model }) => model)
    t.equal((await play(turnOf('Hello'), { settings: { ...settings, models } })).text, 'Hi.')
    t.notMatch(JSON.stringify(calls), /key-/, dialect.name)
  }
})

t.test('another model is asked when one cannot begin, and answers the later steps too', async (t) => {
  const call = { id: 'call_1', name: 'calculate', args: { expression: '2+3' } }
  const troubles: Record<string, Behaviour> = {
    limited: refuses(anthropic, 'limit'),
    overloaded: refuses(anthropic, 'overload'),
    silent: (response) => void open(response).flushHeaders(),
    unreachable: (response) => response.destroy(),
  }
  for (const [name, trouble] of Object.entries(troubles)) {
    const main = await startProvider(t, anthropic, trouble)
    const other = await startProvider(
      t,
      openaiChat,
      says(openaiChat, { calls: [call] }),
      says(openaiChat, { text: 'It is 5.' }),
    )
    const second = { ...other.model, model: 'second-model' }
    const timeouts = { ...offline.timeouts, firstChunkMs: name === 'silent' ? 1000 : 60_000 }
    const settings = { ...main.settings, models: [main.model, second], timeouts }
    const { result, text, lines } = await play(turnOf('What is 2+3?'), { settings })
    t.equal(text, 'It is 5.', name)
    t.match(result, { output: { model: 'second-model', steps: 2 } })
    t.equal(main.calls.length, 1)
    t.match(lines, [/^The model some-model could not answer, second-model is asked instead\. /])
    t.notMatch(JSON.stringify(other.calls), /key-anthropic/)
    t.same(other.wrong, [])
  }
})

t.test('no other model is asked after the first word, nor for what it could not do better', async (t) => {
  const troubles: [Behaviour, string][] = [
    [
      (response) => open(response).end(openaiChat.events({ text: 'Hello there.' }).slice(0, 2).join('')),
      'provider_protocol',
    ],
    [refuses(openaiChat, 'key'), 'provider_auth'],
    [refuses(openaiChat, 'quota'), 'provider_quota'],
    [refuses(openaiChat, 'overflow'), 'context_overflow'],
  ]
  for (const [trouble, errorCode] of troubles) {
    const main = await startProvider(t, openaiChat, trouble)
    const other = await startProvider(t, anthropic, says(anthropic, { text: 'Hi.' }))
    const settings = { ...main.settings, models: [main.model, other.model] }
    t.match((await play(turnOf('Hello'), { settings })).result, { status: 'failed', errorCode })
    t.equal(other.calls.length, 0)
  }
})

t.test('when no model can answer the failure is that of the first', async (t) => {
  const main = await startProvider(t, openaiChat, refuses(openaiChat, 'limit', { 'retry-after': '7' }))
  const other = await startProvider(t, anthropic, refuses(anthropic, 'key'))
  const settings = { ...main.settings, models: [main.model, other.model] }
  const { result } = await play(turnOf('Hello'), { settings })
  t.match(result, { errorCode: 'provider_rate_limited', retryAfter: 7 })
})

t.test('the settings of a call reach every provider under the names that it uses', async (t) => {
  const env = {
    AGENT_MAX_OUTPUT_TOKENS: '777',
    AGENT_REASONING_EFFORT: 'low',
    AGENT_MODEL_OPTIONS: '{"openai":{"user":"team-1"}}',
  }
  const { maxOutputTokens, reasoning, providerOptions } = readAgentSettings(env)
  const bodies: Record<string, unknown> = {}
  for (const dialect of [openaiResponses, anthropic, google, openaiChat]) {
    const { settings, calls } = await startProvider(t, dialect, says(dialect, { text: 'Hi.' }))
    const own = {
      ...settings,
      providerOptions,
      ...{ maxOutputTokens: maxOutputTokens ?? 0, reasoning: reasoning ?? 'none' },
    }
    await play(turnOf('Hello'), { settings: own as typeof settings })
    // Anthropic counts thinking as output: its budget is added there.
    t.match(JSON.stringify(calls[0]?.body), dialect === anthropic ? /"thinking":\{/ : /777/, dialect.name)
    bodies[dialect.name] = calls[0]?.body
  }
  t.match(bodies.openai, { store: false, user: 'team-1' }, 'nothing is stored unless the options say so')
  t.match(bodies.compatible, { reasoning_effort: 'low' })
})
