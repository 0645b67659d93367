import type { UIMessageChunk } from 'ai'
import t from 'tap'
import { createChunkCleaner } from '../../src/agent/clean-chunks.ts'

const [HIGH, LOW] = ['\ud83d', '\ude00']

const cleaned = (chunks: UIMessageChunk[]) => chunks.flatMap(createChunkCleaner())
const text = (delta: string, id = '1'): UIMessageChunk => ({ type: 'text-delta', id, delta })
const call = { toolCallId: '1', toolName: 'look' }

t.test(
  'a surrogate pair that is split over two deltas is made whole, also with deltas of other blocks in between',
  async (t) => {
    for (const between of [
      { type: 'reasoning-start', id: '1' },
      { type: 'text-end', id: '2' },
      { type: 'tool-input-start', ...call },
      { type: 'data-usage', data: {}, transient: true },
      { type: 'tool-output-available', toolCallId: '1', output: 1 },
    ] satisfies UIMessageChunk[])
      t.same(cleaned([text(`a${HIGH}`), between, text(`${LOW}b`)]), [text('a'), between, text('\u{1f600}b')])
    const input = (inputTextDelta: string) =>
      ({ type: 'tool-input-delta', toolCallId: '1', inputTextDelta }) satisfies UIMessageChunk
    t.same(
      cleaned([input(`a${HIGH}`), text('c'), { type: 'text-end', id: '1' }, input(`${LOW}b`)]).slice(-1),
      [input('\u{1f600}b')],
    )
  },
)

t.test('half a pair is U+FFFD at the end of its block, and of the step or the stream', async (t) => {
  for (const end of [
    { type: 'text-end', id: '1' },
    { type: 'finish-step' },
    { type: 'abort' },
    { type: 'error', errorText: 'No.' },
  ] satisfies UIMessageChunk[])
    t.same(cleaned([text(`a${HIGH}`), end]), [text('a'), text('\ufffd'), end])
})
