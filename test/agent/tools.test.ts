import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import t from 'tap'
import { z } from 'zod'
import type { AgentTool } from '../../src/agent/tools/tool.ts'
import { defineTool } from '../../src/agent/tools/tool.ts'
import { isToolLoop } from '../../src/agent/tools/tool-loop.ts'
import { agent } from '../../src/agents/default/agent.ts'
import { lookUpOrders } from './example/look-up-orders.ts'
import { play, say, settings, turnOf } from './turns.ts'

const agentWith = (tools: Record<string, AgentTool>) => ({ ...agent, tools: () => tools })
const nothing = z.object({})
const caller = { userId: 'alice', actor: 'gateway', scopes: ['agent:write'] }

t.test('the example of the guide looks up the orders of the caller', async (t) => {
  const asked: unknown[] = []
  const server = createServer(({ url, headers }, response) => {
    asked.push([url, headers['idempotency-key']])
    response.end(JSON.stringify([{ id: '7', status: 'open', total: '9.90 €' }]))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  process.env.AGENT_ORDERS_URL = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  t.teardown(() => delete process.env.AGENT_ORDERS_URL)

  const turn = {
    ...turnOf('Call look_up_orders with {"status":"open"}'),
    caller,
    context: { shop: 'berlin' },
  }
  const { text, chunks } = await play(turn, { agent: agentWith({ look_up_orders: lookUpOrders }) })
  t.match(text, /returned \{"orders":\[\{"id":"7","status":"open","total":"9\.90 €"\}\]\}/)
  t.match(asked, [['/users/alice/orders?status=open&shop=berlin', /^run_1:call_[\w-]+$/]])
  const outputs = chunks.filter((chunk) => chunk.type === 'tool-output-available')
  t.match(outputs, [
    { preliminary: true, output: { looking: 'at open orders' } },
    { output: { orders: [{ id: '7' }] } },
  ])
  t.equal(outputs.length, 2)

  const file = readFileSync('test/agent/example/look-up-orders.ts', 'utf8')
  const inGuide = file.replaceAll('../../../src/agent/', '../../../agent/').trim()
  t.ok(readFileSync('docs/agent.md', 'utf8').includes(inGuide), 'the guide has this very tool')
})

t.test('context, caller and errors of tools reach only those whom the code gives them to', async (t) => {
  const seen: unknown[] = []
  const tools = {
    look: defineTool({
      description: 'Looks.',
      inputSchema: nothing,
      execute: (_, { caller, context }) => {
        seen.push({ caller, context })
        throw new Error('MARKER-ERROR postgres://u:MARKER-PASSWORD@db')
      },
    }),
  }
  const instructions = ({ context, conversation, now }: Parameters<typeof said>[0]) => {
    said({ context, conversation, now })
    return 'Be kind.'
  }
  const said = (input: { context: Record<string, unknown>; conversation: object; now: Date }) =>
    seen.push(input)
  const turn = { ...turnOf('Call look', [say('user', 'Hi')]), caller, context: { secret: 'MARKER-CONTEXT' } }
  const { chunks, result, text, lines } = await play(turn, { agent: { instructions, tools: () => tools } })
  t.match(seen, [
    { context: turn.context, conversation: { id: 'conversation', history: [say('user', 'Hi')] }, now: Date },
    { caller, context: turn.context },
  ])
  t.equal(text, 'The tool "look" failed: The tool failed.', 'the model reads what the user reads')
  t.match(lines, [/^The tool "look" failed: Error at /])
  t.notMatch(JSON.stringify([chunks, result, lines]), /MARKER|gateway|alice/)
})

t.test(
  'a tool that ignores its signal is left behind when its time is up, and the model is told',
  async (t) => {
    const never = Promise.withResolvers<never>()
    let stopped = false
    const tools = {
      wait: defineTool({
        description: 'Waits.',
        inputSchema: nothing,
        timeoutMs: 20,
        execute: (_, { signal }) => {
          signal.addEventListener('abort', () => {
            stopped = true
          })
          return never.promise
        },
      }),
    }
    const { text, result } = await play(turnOf('Call wait'), { agent: agentWith(tools) })
    t.equal(text, 'The tool "wait" failed: The tool did not end within 0.02 s.')
    t.equal(result.status, 'completed')
    t.ok(stopped)
  },
)

t.test('an output is plain JSON, cut beyond its limit', async (t) => {
  const circle: Record<string, unknown> = {}
  circle.self = circle
  const outputs: [unknown, RegExp][] = [
    [1n, /returned something that cannot be passed on/],
    [circle, /returned something that cannot be passed on/],
    [undefined, /returned \{\}|returned null/],
    [new Map([[1, 2]]), /returned \{\}/],
    [new Date(0), /returned "1970-01-01T00:00:00.000Z"/],
    ['x'.repeat(2000), /returned .*x{100}.*\[cut: 2002 characters\]|x{150}…/],
  ]
  for (const [output, expected] of outputs) {
    const tools = { give: defineTool({ description: 'Gives.', inputSchema: nothing, execute: () => output }) }
    const own = { ...settings, toolOutputMax: 1000 }
    const { chunks, text, result } = await play(turnOf('Call give'), {
      agent: agentWith(tools),
      settings: own,
    })
    t.equal(result.status, 'completed')
    t.match(text, expected)
    const size = JSON.stringify(chunks.find(({ type }) => type === 'tool-output-available') ?? '').length
    t.ok(size < 1300, `${size} characters`)
  }
})

t.test(
  'of what a tool shows on its way the client sees the newest, and the model the result alone',
  async (t) => {
    const { chunks, text } = await play(turnOf('[[tool-count:5]]'))
    const outputs = chunks.flatMap((chunk) => (chunk.type === 'tool-output-available' ? [chunk] : []))
    t.ok(outputs.length > 1)
    t.ok(outputs.slice(0, -1).every(({ preliminary }) => preliminary))
    t.same(outputs.at(-1)?.output, { counted: 5 })
    t.notOk(outputs.at(-1)?.preliminary)
    t.equal(text, 'The tool "counting" returned {"counted":5}.')
  },
)

t.test('three equal failing calls in a row end the loop', async (t) => {
  const { chunks, result, text } = await play(turnOf('[[tool-again]]'))
  t.match(result, { status: 'completed', output: { finishReason: 'tool_loop', steps: 3 } })
  t.equal(text, 'I stopped because the same tool call failed three times in a row.')
  t.match(chunks.at(-1), { finishReason: 'tool-calls', messageMetadata: { finishReason: 'tool_loop' } })
})

t.test('calls that differ, or one that succeeds in between, are no loop', (t) => {
  const step = (input: unknown, failed: boolean, toolCallId = '1') => ({
    content: [
      { type: 'tool-call', toolCallId, toolName: 'look', input },
      { type: failed ? 'tool-error' : 'tool-result', toolCallId },
    ],
  })
  const isLoop = (...steps: ReturnType<typeof step>[]) =>
    isToolLoop(steps as unknown as Parameters<typeof isToolLoop>[0])
  t.ok(isLoop(step(1, true), step(1, true), step(1, true)))
  t.ok(isLoop(step(2, false), step(1, true), step(1, true), step(1, true)))
  t.notOk(isLoop(step(1, true), step(1, true)))
  t.notOk(isLoop(step(1, true), step(2, true), step(1, true)))
  t.notOk(isLoop(step(1, true), step(1, false), step(1, true)))
  t.notOk(isLoop(step(1, true), step(1, true), step(1, true), step(1, false)))
  t.notOk(isLoop())
  t.end()
})

t.test('the model reads about wrong arguments what the user reads', async (t) => {
  const { chunks, text } = await play(turnOf('Call calculate with {"expression":5}'))
  const told = chunks.find(({ type }) => type === 'tool-output-error')
  t.match(told, { errorText: /^The arguments do not fit the tool\. `expression`: \S/ })
  t.ok(text.includes((told as { errorText: string }).errorText), text)
})
