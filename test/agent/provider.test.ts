import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text as readText } from 'node:stream/consumers'
import t, { type Test } from 'tap'
import { FAILURES, type FailureCode } from '../../src/agent/failure.ts'
import { play, settings, turnOf } from './turns.ts'

type Handler = (response: ServerResponse, body: string, request: IncomingMessage) => void

/** Settings with a provider on loopback that answers as the handler says. */
async function provider(t: Test, handler: Handler) {
  const server = createServer(async (request, response) =>
    handler(response, await readText(request), request),
  )
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  const { port } = server.address() as AddressInfo
  const baseUrl = `http://127.0.0.1:${port}/v1`
  return {
    ...settings,
    models: [{ provider: 'compatible' as const, model: 'some-model', baseUrl, apiKey: 'key-1' }],
  }
}

const event = (data: unknown) => `data: ${typeof data === 'string' ? data : JSON.stringify(data)}\n\n`
const delta = (delta: object, finish_reason: string | null = null) =>
  event({ id: 'c', model: 'some-model', choices: [{ index: 0, delta, finish_reason }] })
const USAGE = event({
  id: 'c',
  choices: [],
  usage: { prompt_tokens: 7, completion_tokens: 3, total_tokens: 10 },
})

function stream(response: ServerResponse, ...events: string[]) {
  response.writeHead(200, { 'content-type': 'text/event-stream' })
  response.write(events.join(''))
  return response
}

function refuse(response: ServerResponse, status: number, error: object, headers = {}) {
  response
    .writeHead(status, { 'content-type': 'application/json', ...headers })
    .end(JSON.stringify({ error }))
}

t.test(
  'a provider is called with model, key, instructions and tools, and its calls are executed',
  async (t) => {
    const bodies: Record<string, unknown>[] = []
    const settings = await provider(t, (response, body, { headers, url }) => {
      t.match({ url, headers }, { url: '/v1/chat/completions', headers: { authorization: 'Bearer key-1' } })
      bodies.push(JSON.parse(body))
      const call = {
        id: 'call_1',
        type: 'function',
        function: { name: 'calculate', arguments: '{"expression":"2+3"}' },
      }
      if (bodies.length === 1) {
        stream(
          response,
          delta({ tool_calls: [{ index: 0, ...call }] }, 'tool_calls'),
          USAGE,
          event('[DONE]'),
        ).end()
      } else {
        stream(
          response,
          delta({ content: 'It is ' }),
          delta({ content: '5.' }, 'stop'),
          USAGE,
          event('[DONE]'),
        ).end()
      }
    })
    const { result, text } = await play(turnOf('What is 2+3?'), { settings })
    t.equal(text, 'It is 5.')
    t.match(result, {
      status: 'completed',
      output: { finishReason: 'stop', usage: { inputTokens: 14, outputTokens: 6, totalTokens: 20 } },
    })
    t.match(bodies[0], { model: 'some-model', stream: true, stream_options: { include_usage: true } })
    t.match(bodies[0], { messages: [{ role: 'system' }, { role: 'user', content: 'What is 2+3?' }] })
    t.match(JSON.stringify(bodies[0]), /"name":"current_time"/)
    t.notMatch(
      JSON.stringify(bodies[0]),
      /"name":"sleep"/,
      'tools for faults are never offered to a provider',
    )
    t.match(bodies[1], {
      messages: [{}, {}, {}, { role: 'tool', content: '{"expression":"2+3","result":5}' }],
    })
  },
)

t.test('a provider that counts nothing gets an estimate', async (t) => {
  const settings = await provider(t, (response) => {
    stream(response, delta({ content: 'Good day.' }, 'stop'), event('[DONE]')).end()
  })
  const { result } = await play(turnOf('Hello'), { settings })
  t.match(result, { output: { usage: { outputTokens: 3, estimated: true } } })
})

t.test('a provider that refuses stream_options is asked without them, once a turn', async (t) => {
  const asked: unknown[] = []
  const settings = await provider(t, (response, body) => {
    const { stream_options: options, messages } = JSON.parse(body)
    asked.push(options)
    if (options) return refuse(response, 400, { message: 'Unknown parameter: stream_options' })
    const call = { id: 'c', type: 'function', function: { name: 'current_time', arguments: '{}' } }
    const said =
      messages.at(-1).role === 'tool' ? { content: 'Noon.' } : { tool_calls: [{ index: 0, ...call }] }
    stream(response, delta(said, said.content ? 'stop' : 'tool_calls'), event('[DONE]')).end()
  })
  const { result, text } = await play(turnOf('What time is it?'), { settings })
  t.equal(text, 'Noon.')
  t.match(result, { status: 'completed', output: { usage: { estimated: true } } })
  t.same(asked, [{ include_usage: true }, undefined, undefined])
})

t.test('a provider that is busy is asked again', async (t) => {
  let calls = 0
  const settings = await provider(t, (response) => {
    if (++calls < 3) refuse(response, 429, { message: 'slow down' }, { 'retry-after-ms': '1' })
    else stream(response, delta({ content: 'Hi.' }, 'stop'), USAGE, event('[DONE]')).end()
  })
  t.equal((await play(turnOf('Hello'), { settings })).text, 'Hi.')
  t.equal(calls, 3)
})

const FAULTS: [string, FailureCode, Handler][] = [
  ['401', 'provider_auth', (response) => refuse(response, 401, { message: 'bad key sk-secret' })],
  [
    '429',
    'provider_rate_limited',
    (response) => refuse(response, 429, { message: 'sk-secret' }, { 'retry-after-ms': '1' }),
  ],
  [
    '500',
    'provider_error',
    (response) => refuse(response, 500, { message: 'sk-secret' }, { 'retry-after-ms': '1' }),
  ],
  [
    'an overflow of the context',
    'context_overflow',
    (response) => refuse(response, 400, { message: 'too long: sk-secret', code: 'context_length_exceeded' }),
  ],
  ['400', 'provider_rejected', (response) => refuse(response, 400, { message: 'sk-secret' })],
  ['a page of HTML', 'provider_protocol', (response) => response.end('<html>sk-secret</html>')],
  [
    'garbage in the stream',
    'provider_protocol',
    (response) => stream(response, delta({ content: 'Partial' }), 'data: {sk-secret\n\n').end(),
  ],
  [
    'an error in the stream',
    'provider_error',
    (response) =>
      stream(response, delta({ content: 'Partial' }), event({ error: { message: 'sk-secret' } })).end(),
  ],
  [
    'a stream that just ends',
    'provider_protocol',
    (response) => stream(response, delta({ content: 'Partial' })).end(),
  ],
  [
    'a socket cut in the stream',
    'model_interrupted',
    (response) => {
      stream(response, delta({ content: 'Partial' }))
      setTimeout(() => response.destroy(), 50)
    },
  ],
  ['silence in the stream', 'model_timeout', (response) => stream(response, delta({ content: 'Partial' }))],
  ['silence from the start', 'model_timeout', () => {}],
]

for (const [name, errorCode, handler] of FAULTS) {
  t.test(`a provider's fault is told without its words: ${name}`, async (t) => {
    const usual = await provider(t, handler)
    // A busy machine may be silent for a second where no silence is meant.
    const ms = errorCode === 'model_timeout' ? 300 : 10_000
    const timeouts = { firstChunkMs: ms, chunkMs: ms, toolMs: ms }
    const { chunks, result, text } = await play(turnOf('Hello'), { settings: { ...usual, timeouts } })
    t.match(result, { status: 'failed', errorCode })
    t.same(chunks.at(-1), { type: 'error', errorText: FAILURES[errorCode].message })
    t.notMatch(JSON.stringify(chunks), /sk-secret/)
    t.ok(text === 'Partial' || text === '')
  })
}

t.test('a provider that is not there is unreachable', async (t) => {
  const models = [{ provider: 'compatible' as const, model: 'm', baseUrl: 'http://127.0.0.1:1/v1' }]
  const { result } = await play(turnOf('Hello'), { settings: { ...settings, maxRetries: 0, models } })
  t.same(result, { status: 'failed', errorCode: 'provider_unreachable' })
})

t.test('a stop closes the connection to the provider', async (t) => {
  const closed = Promise.withResolvers<void>()
  const stop = new AbortController()
  const settings = await provider(t, (response) => {
    response.on('close', closed.resolve)
    stream(response, delta({ content: 'Partial' }))
  })
  const { result } = await play(turnOf('Hello'), {
    settings,
    signal: stop.signal,
    write: (chunk) => {
      if (chunk.type === 'text-delta') stop.abort()
    },
  })
  t.same(result, { status: 'cancelled' })
  await closed.promise
})
