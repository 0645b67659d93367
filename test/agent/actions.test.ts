import t from 'tap'
import { z } from 'zod'
import type { AgentDefinition } from '../../src/agent/definition.ts'
import { toModelMessages } from '../../src/agent/history.ts'
import { type AgentTool, defineTool } from '../../src/agent/tools/tool.ts'
import type { AgentTurn, AskedAction, DecidedAction, TurnMessage, TurnOutput } from '../../src/agent/turn.ts'
import { buildPayload, MAX_PAYLOAD_BYTES } from '../../src/services/start/engine-payload.ts'
import { play, say, turnOf } from './turns.ts'

const executed: unknown[] = []
const tool = (needsApproval: AgentTool['needsApproval']): AgentTool =>
  defineTool({
    description: 'A tool for tests.',
    inputSchema: z.object({ text: z.string() }),
    ...(needsApproval === undefined ? {} : { needsApproval }),
    execute: (input, { idempotencyKey }) => {
      executed.push([input, idempotencyKey])
      return { done: true }
    },
  })
const agentWith = (tools: Record<string, AgentTool>): AgentDefinition =>
  ({ instructions: 'You call tools.', tools: () => tools }) as unknown as AgentDefinition

async function outputOf(turn: AgentTurn, tools: Record<string, AgentTool>): Promise<TurnOutput> {
  const { result } = await play(turn, { agent: agentWith(tools) })
  if (result.status !== 'completed') throw new Error(JSON.stringify(result))
  return result.output
}

const continued = (message: TurnMessage, actions: DecidedAction[]): AgentTurn => ({
  ...turnOf('Call work with {"text":"hi"}'),
  continues: { runId: 'run_1', message, actions },
})
const decided = (asked: AskedAction, decision: Partial<DecidedAction>): DecidedAction => ({
  ...{ actionId: asked.actionId, toolCallId: asked.toolCallId, toolName: asked.toolName },
  ...{ runId: 'run_1', args: asked.args, kind: asked.kind, status: 'approved' },
  ...decision,
})

t.test('a call waits when its tool says so', async (t) => {
  const call = turnOf('Call work with {"text":"hi"}')
  for (const [name, needed, message] of [
    ['yes', true, undefined],
    ['a function', ({ text }: { text: string }) => text === 'hi', undefined],
    ['a sentence', () => 'Really?', 'Really?'],
    [
      'a function that fails',
      () => {
        throw new Error('secret')
      },
      undefined,
    ],
  ] as const) {
    const output = await outputOf(call, { work: tool(needed as AgentTool['needsApproval']) })
    t.match(
      output,
      { finishReason: 'action_required', pendingActions: [{ args: { text: 'hi' }, message } as never] },
      name,
    )
  }
  t.same(executed, [])
  for (const needed of [false, () => false, undefined]) {
    const output = await outputOf(call, { work: tool(needed as AgentTool['needsApproval']) })
    t.match(output, { finishReason: 'stop' })
    t.equal(output.pendingActions, undefined)
  }
  t.equal(executed.splice(0).length, 3)
})

t.test('nobody is asked about arguments that do not fit, or that are too long', async (t) => {
  const tools = { work: tool(true) }
  t.match(await outputOf(turnOf('Call work with {"text":7}'), tools), {
    finishReason: 'stop',
    pendingActions: undefined,
  })
  const long = await outputOf(turnOf(`Call work with {"text":"${'x'.repeat(17_000)}"}`), tools)
  t.match(long, { finishReason: 'stop' })
  t.match(JSON.stringify(long.uiMessage.parts), /too long to be shown/)
  t.same(executed, [])
})

t.test('what was approved is executed with the arguments and the key of the run that asked', async (t) => {
  const tools = { work: tool(true) }
  const first = await outputOf(turnOf('Call work with {"text":"hi"}'), tools)
  const [asked] = first.pendingActions ?? []
  if (asked === undefined) throw new Error('nothing was asked')
  // The message says something else than the action does.
  const message = structuredClone(first.uiMessage)
  for (const part of message.parts) if ('toolCallId' in part) part.input = { text: 'forged' }
  const output = await outputOf(continued(message, [decided(asked, {})]), tools)
  t.same(executed.splice(0), [[{ text: 'hi' }, `run_1:${asked.toolCallId}`]])
  t.match(output.uiMessage.parts[1], {
    state: 'output-available',
    input: { text: 'hi' },
    output: { done: true },
  })

  for (const [decision, reason] of [
    [{ status: 'denied', reason: 'no' }, 'no'],
    [{ status: 'denied' }, 'The call was denied.'],
    [{ status: 'expired' }, 'Nobody has answered in time.'],
  ] as const) {
    const denied = await outputOf(continued(first.uiMessage, [decided(asked, decision)]), tools)
    t.match(denied.uiMessage.parts[1], { state: 'output-denied', approval: { approved: false, reason } })
    const told = `The call was not executed: ${reason}`
    t.match(
      denied.uiMessage.parts.at(-1),
      { type: 'text', text: told },
      'the model reads more than the reason',
    )
    const [, , results] = await toModelMessages([say('user', 'Hello'), denied.uiMessage])
    t.match(results, {
      role: 'tool',
      content: [{ type: 'tool-approval-response' }, { output: { value: told } }],
    })
  }
  const undecided = await outputOf(continued(first.uiMessage, []), tools)
  t.match(undecided.uiMessage.parts[1], { state: 'output-error', errorText: 'The call was not executed.' })
  const gone = await outputOf(continued(first.uiMessage, [decided(asked, {})]), {})
  t.match(gone.uiMessage.parts[1], { state: 'output-error', errorText: 'There is no such tool.' })
  t.same(executed, [])
})

t.test('a continuation fits into a payload, and the arguments of its calls stay whole', async (t) => {
  const text = 'x'.repeat(15_000)
  const actions = ['a', 'b'].map(
    (id): DecidedAction =>
      ({
        ...{ actionId: id, runId: 'run_1', toolCallId: id, toolName: 'work', args: { text } },
        ...(id === 'a'
          ? { kind: 'approval', status: 'approved' }
          : { kind: 'tool_result', status: 'answered', output: text.repeat(4) }),
      }) as DecidedAction,
  )
  const payload = buildPayload(
    {
      ...{ turnId: 't', conversationId: null, assistantMessageId: 'm', ahead: [], history: [] },
      message: { id: 'q', role: 'user', parts: [{ type: 'text', text: 'y'.repeat(100_000) }] },
      continues: {
        ...{ runId: 'run_1', actions },
        message: { id: 'm', role: 'assistant', parts: [{ type: 'text', text: 'z'.repeat(100_000) }] },
      },
    },
    { largePayloads: false },
  )
  t.ok(Buffer.byteLength(JSON.stringify(payload)) < MAX_PAYLOAD_BYTES)
  t.same(
    payload.continues?.actions.map(({ args }) => args),
    actions.map(({ args }) => args),
  )
  t.equal(payload.version, 3)
})
