import t from 'tap'
import type { IndexedChunk } from '../../src/agent/turn.ts'
import { readPartialAnswer } from '../../src/services/end/partial-answer.ts'

type Chunk = IndexedChunk['chunk']

/** The partial answer that the service reads from a stream of these chunks. */
const answerOf = (chunks: Chunk[]) =>
  readPartialAnswer(
    {
      async *chunks() {
        for (const [index, chunk] of chunks.entries()) yield { index, chunk }
      },
    },
    'run_1',
  )

const delta = (text: string): Chunk => ({ type: 'text-delta', id: 't', delta: text })

t.test('a chunk that cannot be read does not remove the other parts of a partial answer', async (t) => {
  const { message, frameCount } = await answerOf([
    { type: 'start', messageId: 'm' },
    delta('of no text'),
    { type: 'text-start', id: 't' },
    delta('a'),
    { type: 'tool-output-available', toolCallId: 'of no call', output: 1 },
    delta('b'),
    { type: 'abort' },
  ])
  t.match(message, { id: 'm', role: 'assistant', parts: [{ type: 'text', text: 'ab' }] })
  t.equal(frameCount, 7, 'every chunk counts as a frame, because viewers have seen all of them')
  t.equal((await answerOf([delta('a'), { type: 'abort' }])).message, null)
})

t.test('reading a partial answer does not copy large tool results for every chunk', async (t) => {
  const copies = t.captureFn(structuredClone)
  t.intercept(globalThis, 'structuredClone', { value: copies })
  const call = { toolCallId: 'c', toolName: 'look' }
  const output = { rows: Array.from({ length: 100 }, (_, row) => ({ row })) }
  const { message } = await answerOf([
    { type: 'start', messageId: 'm' },
    { type: 'tool-input-available', ...call, input: {} },
    { type: 'tool-output-available', toolCallId: 'c', output },
    { type: 'text-start', id: 't' },
    ...Array.from({ length: 700 }, () => delta('word ')),
    { type: 'abort' },
  ])
  t.match(message?.parts, [{ type: 'tool-look', output }, { text: 'word '.repeat(700) }])
  t.equal(copies.calls.length, 0)
})

t.test('the service finds out that a stream was never written before a cancel has to answer', async (t) => {
  let readings = 0
  const from = performance.now()
  const answer = await readPartialAnswer(
    {
      // A real server answers such a stream with 200 and silence (recording h7-stream-never-written).
      async *chunks(_runId, signal, { onOpen } = {}) {
        readings++
        onOpen?.()
        await new Promise((resolve) => signal.addEventListener('abort', resolve))
      },
    },
    'run_1',
  )
  t.match(answer, { message: null, chunks: [], frameCount: 0, truncated: false })
  t.equal(readings, 2, 'the stream was read twice, because one connection may hang')
  t.ok(performance.now() - from < 2_900, 'the reading ends before a cancel has to answer (3 s)')
})

/** Chunks that a worker of any version may write, in any order. They are the same for the same seed. */
function nonsense(seed: number): Chunk[] {
  let state = seed
  const random = (below: number) => {
    state = (state * 1_103_515_245 + 12_345) & 0x7fffffff
    return (state >> 8) % below
  }
  const id = () => String(random(2))
  const makers: Array<() => Chunk> = [
    () => ({ type: 'start', messageId: 'm' }),
    () => ({ type: 'start-step' }),
    () => ({ type: 'finish-step' }),
    () => ({ type: 'text-start', id: id() }),
    () => ({ type: 'text-delta', id: id(), delta: 'x' }),
    () => ({ type: 'text-end', id: id() }),
    () => ({ type: 'reasoning-start', id: id() }),
    () => ({ type: 'reasoning-delta', id: id(), delta: 'x' }),
    () => ({ type: 'tool-input-start', toolCallId: id(), toolName: 'a' }),
    () => ({ type: 'tool-input-delta', toolCallId: id(), inputTextDelta: '{' }),
    () => ({ type: 'tool-input-available', toolCallId: id(), toolName: 'a', input: {} }),
    () => ({ type: 'tool-input-error', toolCallId: id(), toolName: 'a', input: 1, errorText: 'x' }),
    () => ({ type: 'tool-output-available', toolCallId: id(), output: { a: 1 } }),
    () => ({ type: 'tool-output-error', toolCallId: id(), errorText: 'e' }),
    () => ({ type: 'tool-approval-request', approvalId: 'a', toolCallId: id() }),
    () => ({ type: 'tool-output-denied', toolCallId: id() }),
    () => ({ type: 'message-metadata', messageMetadata: { a: 1 } }),
    () => ({ type: 'data-usage', data: {}, transient: true }),
    () => ({ type: 'source-url', sourceId: 's', url: 'http://x' }),
    () => ({ type: 'file', url: 'data:,', mediaType: 'text/plain' }),
    () => ({ type: 'text-delta' }),
    () => ({ type: 'data-' }),
    () => ({ type: 'nonsense' }),
  ]
  return Array.from({ length: 1 + random(12) }, () => (makers[random(makers.length)] as () => Chunk)())
}

t.test('the reading of a stream ends for any order of chunks', async (t) => {
  for (let seed = 1; seed <= 300; seed++) {
    const chunks = [...nonsense(seed), { type: 'abort' }]
    const { frameCount } = await answerOf(chunks)
    if (frameCount !== chunks.length) t.fail(`seed ${seed}: ${JSON.stringify(chunks)}`)
  }
  t.pass('300 streams')
})
