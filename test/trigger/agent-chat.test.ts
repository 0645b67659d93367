import { fileURLToPath } from 'node:url'
import { configure, runs, streams, tasks } from '@trigger.dev/sdk'
import type { UIMessageChunk } from 'ai'
import t from 'tap'
import { FAILURES, parseFailure } from '../../src/agent/failure.ts'
import { tellStory } from '../../src/agent/offline/story.ts'
import {
  AGENT_QUEUE,
  AGENT_STREAM,
  AGENT_TASK_ID,
  type AgentTurn,
  type IndexedChunk,
} from '../../src/agent/turn.ts'
import { startLocalEngine } from '../../src/local/engine/engine.ts'
import { textOf, turnOf } from '../agent/turns.ts'

const engine = await startLocalEngine({
  taskModules: [fileURLToPath(new URL('../../src/trigger/agent-chat.ts', import.meta.url))],
  secretKey: 'tr_dev_agent_chat_test',
  maxChildren: 2,
  childEnv: { AGENT_OFFLINE_WORD_MS: '1', AGENT_OFFLINE_FAULTS: '1' },
  log: { info() {}, warn() {}, error() {} },
})
t.teardown(() => engine.stop())
configure({ baseURL: engine.url, accessToken: engine.secretKey })

async function start(turn: AgentTurn, concurrencyKey = turn.message.id): Promise<string> {
  const { id } = await tasks.trigger(AGENT_TASK_ID, turn, { queue: AGENT_QUEUE, concurrencyKey })
  return id
}

async function over(id: string) {
  for await (const run of runs.subscribeToRun(id)) {
    if (['COMPLETED', 'FAILED', 'CANCELED', 'CRASHED', 'TIMED_OUT'].includes(run.status)) break
  }
  return runs.retrieve(id)
}

/** The chunks of a run up to its last one; `seen` is told each of them as it comes. */
async function chunksOf(
  id: string,
  seen: (chunk: UIMessageChunk) => unknown = () => {},
): Promise<UIMessageChunk[]> {
  const records: IndexedChunk<UIMessageChunk>[] = []
  for await (const record of await streams.read<IndexedChunk<UIMessageChunk>>(id, AGENT_STREAM)) {
    records.push(record)
    await seen(record.chunk)
    if (['finish', 'abort', 'error'].includes(record.chunk.type)) break
  }
  t.same(
    records.map(({ index }) => index),
    records.map((_, at) => at),
    'indices are contiguous from 0',
  )
  return records.map(({ chunk }) => chunk)
}

t.test('a turn runs in the engine, its stream and its output tell the same', async (t) => {
  const id = await start(turnOf('What is 17 * 23?'))
  const chunks = await chunksOf(id)
  t.same(chunks[0], {
    type: 'start',
    messageId: 'answer',
    messageMetadata: { conversationId: 'conversation', runId: id },
  })
  t.equal(textOf(chunks), '17 * 23 = 391.')
  t.match(chunks.at(-1), {
    type: 'finish',
    messageMetadata: { finishReason: 'stop', steps: 2, model: 'offline' },
  })
  const run = await over(id)
  t.match(run, {
    status: 'COMPLETED',
    output: {
      finishReason: 'stop',
      usage: { totalTokens: Number },
      uiMessage: {
        id: 'answer',
        parts: [{}, { type: 'tool-calculate', output: { result: 391 } }, {}, { text: '17 * 23 = 391.' }],
      },
    },
  })
})

t.test('a long story arrives whole in less than 800 records', async (t) => {
  const message = 'Tell me a story of 100 sentences'
  const chunks = await chunksOf(await start(turnOf(message)))
  t.equal(textOf(chunks), tellStory(100, message))
  t.ok(chunks.length < 800, `${chunks.length} records`)
})

t.test(
  'a run knows what the runs ahead of it have said, also when they failed or were cancelled',
  async (t) => {
    const first = await start(turnOf('My name is Grace.'), 'c')
    const failed = await start(turnOf('[[fail-after:3]] Rain.'), 'c')
    const stopped = await start(turnOf('[[stall-after:3]] Snow.'), 'c')
    const last = await start({ ...turnOf('What is my name?'), ahead: [first, failed, stopped] }, 'c')
    await chunksOf(stopped, (chunk) => chunk.type === 'text-start' && runs.cancel(stopped))
    const run = await over(last)
    t.match(run.output, { uiMessage: { parts: [{}, { text: 'Your name is Grace.' }] } })
    t.same((await chunksOf(last))[0], {
      type: 'start',
      messageId: 'answer',
      messageMetadata: { conversationId: 'conversation', runId: last },
    })
    const recalled = await start(
      { ...turnOf('What did I say before?'), ahead: [first, failed, stopped] },
      'd',
    )
    t.match((await over(recalled)).output, { uiMessage: { parts: [{}, { text: /Snow\./ }] } })
  },
)

t.test('a run goes on without what is unknown ahead of it, and says so', async (t) => {
  const id = await start({ ...turnOf('Hello'), ahead: ['run_unknown'] })
  t.match((await chunksOf(id))[0], { messageMetadata: { historyIncomplete: true } })
  t.equal((await over(id)).status, 'COMPLETED')
})

t.test(
  'a run that is cancelled in the middle of a sentence ends its stream with usage and abort',
  async (t) => {
    const id = await start(turnOf('[[stall-after:5]]'))
    let words = 0
    const chunks = await chunksOf(id, (chunk) => {
      if (chunk.type === 'text-delta') words += chunk.delta.trim().split(' ').length
      if (words === 5) return runs.cancel(id)
    })
    t.equal(textOf(chunks), 'I am the offline model:')
    t.match(chunks.at(-2), { type: 'data-usage', data: { estimated: true } })
    t.same(chunks.at(-1), { type: 'abort', reason: 'cancelled' })
    t.equal((await over(id)).status, 'CANCELED')
  },
)

t.test('the next run reads the partial answer of a run whose worker has died or hangs', async (t) => {
  const crashed = await start(turnOf('[[crash]]'), 'e')
  const hanging = await start(turnOf('[[stall-hard]]'), 'e')
  t.equal((await over(crashed)).status, 'CRASHED')
  for await (const { chunk } of await streams.read<IndexedChunk<UIMessageChunk>>(hanging, AGENT_STREAM)) {
    if (chunk.type === 'text-delta' && chunk.delta.endsWith('model:')) break
  }
  await runs.cancel(hanging)
  t.equal((await over(hanging)).status, 'CANCELED')
  const next = await start({ ...turnOf('What did I say before?'), ahead: [crashed, hanging] }, 'e')
  const run = await over(next)
  t.match(run.output, { uiMessage: { parts: [{}, { text: 'Your last message was: "[[stall-hard]]"' }] } })
  t.notMatch((await chunksOf(next))[0], { messageMetadata: { historyIncomplete: true } })
})

t.test('a failed turn fails the run with its code', async (t) => {
  const id = await start(turnOf('[[fail-after:5]]'))
  const run = await over(id)
  t.equal(run.status, 'FAILED')
  t.same(parseFailure(run.error?.message ?? ''), { errorCode: 'provider_error', ...FAILURES.provider_error })
  t.same((await chunksOf(id)).at(-1), { type: 'error', errorText: FAILURES.provider_error.message })
})

t.test(
  'a failed turn of a start with a key and without the database keeps the key at the engine',
  async (t) => {
    const origin = {
      ...{ userId: 'alice', actor: null, metadata: {} },
      ...{ idempotencyKey: 'kept', requestHash: null },
    }
    const options = { queue: AGENT_QUEUE, idempotencyKey: 'kept', concurrencyKey: 'kept' }
    const trigger = async () =>
      (await tasks.trigger(AGENT_TASK_ID, { ...turnOf('[[fail-after:5]]'), origin }, options)).id
    const id = await trigger()
    const run = await over(id)
    t.match(run, { status: 'COMPLETED', output: { failure: /^provider_error: / } })
    t.equal(await trigger(), id)

    const behind = await start({ ...turnOf('What did I say before?'), ahead: [id] }, 'behind')
    t.match(await over(behind), { status: 'COMPLETED' })
    t.notMatch(
      (await chunksOf(behind)).map((chunk) => JSON.stringify(chunk)).join(),
      'historyIncomplete',
      'a run behind it reads what it has said',
    )
  },
)

t.test('a payload of a newer service is refused', async (t) => {
  const run = await over(await start({ ...turnOf('Hello'), version: 99 }))
  t.equal(run.status, 'FAILED')
  t.match(parseFailure(run.error?.message ?? ''), { errorCode: 'payload_too_new', retryable: true })
})

t.test('a stream that cannot be written costs the live view, not the answer', async (t) => {
  const before = await start(turnOf('[[stall-after:3]] Snow.'), 'f')
  const id = await start(turnOf('What is 17 * 23?'), 'f')
  await fill(id)
  await runs.cancel(before)
  t.match(await over(id), {
    status: 'COMPLETED',
    output: { uiMessage: { parts: [{}, {}, {}, { text: '17 * 23 = 391.' }] } },
  })
})

/** Writes to the run's stream until the engine takes no more. */
async function fill(runId: string): Promise<void> {
  const write = async (length: number) => {
    const response = await fetch(`${engine.url}/realtime/v1/streams/${runId}/self/${AGENT_STREAM}`, {
      method: 'POST',
      headers: { authorization: `Bearer ${engine.secretKey}` },
      body: JSON.stringify('x'.repeat(length)),
    })
    return response.status
  }
  for (let length = 2 ** 20; length > 0; length = Math.floor(length / 2))
    while ((await write(length)) === 200);
}
