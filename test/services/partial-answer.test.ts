import t from 'tap'
import type { IndexedChunk } from '../../src/agent/turn.ts'
import { readPartialAnswer } from '../../src/services/end/partial-answer.ts'

type Chunk = IndexedChunk['chunk']

/** What is made of a stream of these chunks. */
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

t.test('a part that makes no sense takes nothing else of the answer away', async (t) => {
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
  t.equal(frameCount, 7, 'its viewers have seen all of them')
  t.equal((await answerOf([delta('a'), { type: 'abort' }])).message, null)
})

t.test('the message is not copied for every chunk, however much its tools returned', async (t) => {
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
