import { convertToModelMessages } from 'ai'
import { test } from 'tap'
import { failureMessage } from '../../src/agent/failure.ts'
import { type AgentOutput, type AgentTurn, PAYLOAD_VERSION } from '../../src/agent/turn.ts'
import { runReader } from '../../src/engine/trigger/mapping.ts'
import { isOutput, isTurn } from '../../src/engine/trigger/parsing.ts'
import { storable, textOf } from '../../src/services/end/answer.ts'
import { apiRun, TURN } from './http-engine.ts'

const OUTPUT: AgentOutput = {
  uiMessage: { id: 'a', role: 'assistant', parts: [{ type: 'text', text: 'hello' }] },
  usage: { inputTokens: 1, outputTokens: 2, totalTokens: 3 },
  finishReason: 'stop',
  chunkCount: 4,
}

const withParts = (parts: unknown) => ({ ...OUTPUT, uiMessage: { ...OUTPUT.uiMessage, parts } })
const withUsage = (usage: unknown) => ({ ...OUTPUT, usage })
const without = (value: object, key: string) =>
  Object.fromEntries(Object.entries(value).filter(([name]) => name !== key))

const TOOL = { type: 'tool-search', toolCallId: 'c', state: 'output-available', input: {}, output: [] }

const goodOutputs: Record<string, unknown> = {
  'as the worker makes it': OUTPUT,
  'with a cut text and an estimate': {
    ...OUTPUT,
    textCut: true,
    usage: { ...OUTPUT.usage, estimated: true },
  },
  'without parts': withParts([]),
  'with every kind of part': withParts([
    { type: 'step-start' },
    { type: 'reasoning', text: 'hm' },
    TOOL,
    { ...TOOL, type: 'dynamic-tool', toolName: 'search' },
    { type: 'data-usage', data: null },
    { type: 'source-url', sourceId: 's', url: 'https://example.com' },
    { type: 'file', mediaType: 'text/plain', url: 'data:text/plain,hello' },
  ]),
  'with members that a newer worker adds': {
    ...OUTPUT,
    cost: 1,
    uiMessage: { ...OUTPUT.uiMessage, mood: 'good' },
  },
}

const badOutputs: Record<string, unknown> = {
  null: null,
  'a text': 'hello',
  'a list': [OUTPUT],
  'without a message': without(OUTPUT, 'uiMessage'),
  'a message that is null': { ...OUTPUT, uiMessage: null },
  'a message of the user': { ...OUTPUT, uiMessage: { ...OUTPUT.uiMessage, role: 'user' } },
  'a message without an id': { ...OUTPUT, uiMessage: without(OUTPUT.uiMessage, 'id') },
  'a message without parts': { ...OUTPUT, uiMessage: without(OUTPUT.uiMessage, 'parts') },
  'parts that are no list': withParts({ 0: { type: 'text', text: 'hello' } }),
  'parts that are a text': withParts('hello'),
  'a part that is null': withParts([null]),
  'a part that is a text': withParts(['hello']),
  'a part without a type': withParts([{ text: 'hello' }]),
  'a part whose type is a number': withParts([{ type: 1, text: 'hello' }]),
  'a text part without a text': withParts([{ type: 'text' }]),
  'a text part whose text is null': withParts([{ type: 'text', text: null }]),
  'a reasoning part whose text is a list': withParts([{ type: 'reasoning', text: [] }]),
  'a tool part without a state': withParts([without(TOOL, 'state')]),
  'a tool part without an id': withParts([without(TOOL, 'toolCallId')]),
  'a dynamic tool part without a name': withParts([{ ...TOOL, type: 'dynamic-tool' }]),
  'a tool part without a name': withParts([{ ...TOOL, type: 'tool-' }]),
  'a file without an address': withParts([{ type: 'file', mediaType: 'text/plain' }]),
  'a file at an address that is none': withParts([{ type: 'file', mediaType: 'text/plain', url: 'here' }]),
  'without usage': without(OUTPUT, 'usage'),
  'usage that is null': withUsage(null),
  'usage of texts': withUsage({ inputTokens: '1', outputTokens: '2', totalTokens: '3' }),
  'usage that is negative': withUsage({ inputTokens: -1, outputTokens: 2, totalTokens: 1 }),
  'usage that lacks a number': withUsage({ inputTokens: 1, outputTokens: 2 }),
  'without the number of chunks': without(OUTPUT, 'chunkCount'),
  'half a chunk': { ...OUTPUT, chunkCount: 0.5 },
  'a cut that is a text': { ...OUTPUT, textCut: 'yes' },
  'a history that is no count': { ...OUTPUT, history: { sent: 'all' } },
}

const ORIGIN = { userId: 'alice', actor: null, metadata: {}, idempotencyKey: null, requestHash: null }
const conversationId = '00000000-0000-7000-8000-000000000002'

const goodTurns: Record<string, unknown> = {
  'as the service makes it': TURN,
  'in a conversation, behind others': {
    ...TURN,
    conversationId,
    position: 3,
    history: [TURN.message, OUTPUT.uiMessage],
    ahead: ['run_a'],
    aheadAfter: [2],
    traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
  },
  'that could not be stored': { ...TURN, origin: { ...ORIGIN, metadata: { a: 'b' }, idempotencyKey: 'k' } },
}

const badTurns: Record<string, unknown> = {
  null: null,
  'a number': 7,
  'another task': { ms: 15_000 },
  'of a newer version': { ...TURN, version: PAYLOAD_VERSION + 1 },
  'of version 0': { ...TURN, version: 0 },
  'whose version is a text': { ...TURN, version: '1' },
  'without a version': without(TURN, 'version'),
  'without a turn id': without(TURN, 'turnId'),
  'whose turn id is no UUID': { ...TURN, turnId: 'turn_1' },
  'whose conversation is a number': { ...TURN, conversationId: 7 },
  'whose conversation is no UUID': { ...TURN, conversationId: "'; drop table runs" },
  'without a message': without(TURN, 'message'),
  'whose message has a null part': { ...TURN, message: { ...TURN.message, parts: [null] } },
  'whose message is the assistant’s': { ...TURN, message: OUTPUT.uiMessage },
  'whose history is null': { ...TURN, history: null },
  'whose history holds nonsense': { ...TURN, history: [{ id: 'h', role: 'user' }] },
  'behind what is no run': { ...TURN, ahead: ['7'] },
  'without the id of its answer': { ...TURN, assistantMessageId: '' },
  'whose origin has no user': { ...TURN, origin: without(ORIGIN, 'userId') },
  'whose origin has numbers as metadata': { ...TURN, origin: { ...ORIGIN, metadata: { a: 1 } } },
  'whose origin is a text': { ...TURN, origin: 'alice' },
}

test('an output is accepted only when it has every field that the service reads', (t) => {
  for (const [name, output] of Object.entries(goodOutputs)) t.equal(isOutput(output), true, name)
  for (const [name, output] of Object.entries(badOutputs)) t.equal(isOutput(output), false, name)
  t.end()
})

test('an accepted output can be stored and answered to a poll', async (t) => {
  for (const [name, output] of Object.entries(goodOutputs)) {
    const { uiMessage } = output as AgentOutput
    const { role, parts } = storable(uiMessage, 'failed')
    t.type(textOf({ id: 'a', role, parts }), 'string', name)
    await t.resolves(convertToModelMessages([{ role, parts }]), name)
  }
})

test('a payload is accepted only when this release can read it', (t) => {
  for (const [name, turn] of Object.entries(goodTurns)) t.equal(isTurn(turn), true, name)
  for (const [name, turn] of Object.entries(badTurns)) t.equal(isTurn(turn), false, name)
  t.end()
})

function reading() {
  const logged: Array<Record<string, unknown>> = []
  const log = (level: string) => (details: object, message: string) =>
    void logged.push({ level, message, ...details })
  return { reader: runReader({ warn: log('warn'), error: log('error') }), logged }
}

test('a completed run whose output cannot be read has failed, and is logged once', (t) => {
  const { reader, logged } = reading()
  for (const [name, output] of [...Object.entries(badOutputs), ['absent', undefined] as const]) {
    const run = reader.snapshot(apiRun('run_a', 'COMPLETED', { payload: TURN, output }))
    t.match(run, { status: 'failed', failureCode: 'output_unreadable', payload: TURN }, name)
    t.notOk(run?.output, name)
  }
  t.match(logged, [{ level: 'error', runId: 'run_a', message: 'the output of a run could not be read' }])
  t.equal(logged.length, 1)
  t.end()
})

test('a run that returned its failure has failed', (t) => {
  const { reader, logged } = reading()
  const output = { failure: failureMessage('provider_rate_limited', 7) }
  const run = reader.snapshot(apiRun('run_a', 'COMPLETED', { payload: TURN, output }))
  t.match(run, { status: 'failed', failureCode: 'provider_rate_limited', retryAfter: 7 })
  t.notOk(run?.output)
  t.same(logged, [])
  t.end()
})

test('a payload that cannot be read is left out of the run in every state, and is logged once', (t) => {
  const { reader, logged } = reading()
  for (const [name, payload] of Object.entries(badTurns)) {
    const completed = reader.snapshot(apiRun('run_a', 'COMPLETED', { payload, output: OUTPUT }))
    t.match(completed, { status: 'completed', output: OUTPUT }, name)
    const queued = reader.snapshot(apiRun('run_a', 'QUEUED', { payload }))
    t.match(queued, { status: 'queued' }, name)
    for (const run of [completed, queued]) t.notOk(run && 'payload' in run, name)
  }
  t.match(logged, [{ level: 'warn', runId: 'run_a', message: 'the payload of a run could not be read' }])
  t.equal(logged.length, 1)
  t.end()
})

test('no contents of a run are logged', (t) => {
  const { reader, logged } = reading()
  const secret = { ...TURN, message: { ...TURN.message, parts: [{ type: 'text', text: ['a secret'] }] } }
  reader.snapshot(apiRun('run_a', 'COMPLETED', { payload: secret, output: { secret } }))
  t.equal(logged.length, 2)
  t.notMatch(JSON.stringify(logged), 'a secret')
  t.end()
})

test('a run whose times or tags are nonsense is still a run', (t) => {
  const { reader } = reading()
  const nonsense = { createdAt: 'yesterday', startedAt: 7, finishedAt: {}, tags: null, payload: TURN }
  const run = reader.snapshot(apiRun('run_a', 'EXECUTING', nonsense))
  t.strictSame(run, {
    runId: 'run_a',
    status: 'running',
    tags: [],
    createdAt: new Date(0),
    payload: TURN as AgentTurn,
  })
  t.end()
})

test('a run in a status of a newer engine goes on until its deadline', (t) => {
  const { reader, logged } = reading()
  for (const status of ['FROZEN', 'toString', null, 7])
    t.match(reader.snapshot(apiRun('run_a', status as string)), { runId: 'run_a', status: 'running' })
  t.equal(logged.length, 1)
  t.end()
})

test('an answer without an id is no run', (t) => {
  const { reader } = reading()
  for (const value of [null, undefined, 'run_a', [], {}, { id: 7 }, { id: 'a' }, { id: 'run_' }]) {
    t.equal(reader.snapshot(value), undefined)
    t.equal(reader.summary(value), undefined)
  }
  t.end()
})

test('an output is read without a window that cannot be read', (t) => {
  const lines: string[] = []
  const reader = runReader({
    warn: (_details: object, line: string) => void lines.push(line),
    error: (_details: object, line: string) => void lines.push(line),
  } as never)
  const read = (window: unknown, id: string) =>
    reader.snapshot(apiRun(id, 'COMPLETED', { output: { ...OUTPUT, window } }))
  const summary = { text: 'Hi', messages: 2, dropped: 0, through: ['m1'] }
  const window = { summary, charactersPerToken: 3.5 }
  t.same(read(window, 'run_1')?.output, { ...OUTPUT, window })
  t.same(lines, [])
  for (const [n, bad] of [
    7,
    null,
    { summary: 'Hi' },
    { summary: { ...summary, text: 'x'.repeat(9000) } },
    { summary: { ...summary, through: [] } },
    { charactersPerToken: -1 },
  ].entries()) {
    const run = read(bad, `run_bad${n}`)
    t.equal(run?.status, 'completed')
    t.same(run?.output, OUTPUT)
    t.equal(lines.length, n + 1)
  }
  t.end()
})
