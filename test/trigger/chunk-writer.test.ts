import { mock } from 'node:test'
import type { UIMessageChunk } from 'ai'
import fc from 'fast-check'
import t from 'tap'
import { tellStory } from '../../src/agent/offline/story.ts'
import type { IndexedChunk } from '../../src/agent/turn.ts'
import { type ChunkWriter, createChunkWriter } from '../../src/trigger/chunk-writer.ts'
import { play, textOf, turnOf } from '../agent/turns.ts'

type Record = IndexedChunk<UIMessageChunk>

t.beforeEach(() => mock.timers.enable({ apis: ['setTimeout'] }))
t.afterEach(() => mock.timers.reset())

const delta = (text: string, id = '1'): UIMessageChunk => ({ type: 'text-delta', id, delta: text })
const chunksOf = (records: Record[]) => records.map(({ chunk }) => chunk)

async function closed(writer: ChunkWriter): Promise<Record[]> {
  writer.close()
  const records: Record[] = []
  for await (const record of writer.records) records.push(record)
  t.same(
    records.map(({ index }) => index),
    records.map((_, at) => at),
    'indices are contiguous from 0',
  )
  return records
}

t.test('the first chunk leaves at once, what follows within the window is merged', async (t) => {
  const writer = createChunkWriter()
  const reader = writer.records.getReader()
  writer.write({ type: 'start' })
  t.same((await reader.read()).value, { index: 0, chunk: { type: 'start' } })
  for (const text of ['a', 'b', 'c']) writer.write(delta(text))
  mock.timers.tick(25)
  t.same((await reader.read()).value, { index: 1, chunk: delta('abc') })
  mock.timers.tick(25)
  writer.write(delta('d'))
  t.same(
    (await reader.read()).value,
    { index: 2, chunk: delta('d') },
    'after a silent window there is no delay',
  )
  writer.close()
  t.ok((await reader.read()).done)
})

t.test(
  'deltas of several blocks are merged each for itself and stay behind what came before them',
  async (t) => {
    const writer = createChunkWriter()
    writer.write({ type: 'start' })
    writer.write({ type: 'text-start', id: '1' })
    writer.write(delta('a'))
    writer.write({ type: 'tool-input-delta', toolCallId: 'c', inputTextDelta: '{' })
    writer.write(delta('b'))
    writer.write({ type: 'tool-input-delta', toolCallId: 'c', inputTextDelta: '}' })
    writer.write({ type: 'text-end', id: '1' })
    writer.write(delta('c'))
    t.same(chunksOf(await closed(writer)), [
      { type: 'start' },
      { type: 'text-start', id: '1' },
      delta('ab'),
      { type: 'tool-input-delta', toolCallId: 'c', inputTextDelta: '{}' },
      { type: 'text-end', id: '1' },
      delta('c'),
    ])
  },
)

t.test('five minutes of words are at most 800 records with the same text', async (t) => {
  const writer = createChunkWriter()
  const words = Array.from({ length: 20_000 }, (_, n) => ` w${n}`)
  for (const word of words) {
    writer.write(delta(word))
    mock.timers.tick(15)
  }
  const records = await closed(writer)
  t.ok(records.length <= 800, `${records.length} records`)
  t.ok(records.length > 500, 'and still a live stream')
  t.equal(textOf(chunksOf(records)), words.join(''))
})

t.test('a story without pauses is few records with the same text', async (t) => {
  mock.timers.reset()
  const writer = createChunkWriter()
  const { text } = await play(turnOf('Tell me a story of 2000 sentences'), { write: writer.write })
  t.equal(text, '', 'the chunks went to the writer')
  const records = await closed(writer)
  const told = textOf(chunksOf(records))
  t.equal(told.split('. ').length, 2000)
  t.equal(told, tellStory(2000, 'Tell me a story of 2000 sentences'))
  t.ok(records.length < 800, `${records.length} records`)
})

t.test('no record is bigger than the engine takes', async (t) => {
  const writer = createChunkWriter()
  const text = `${'\u001b'.repeat(200_000)}\u{1f600}`.repeat(3)
  writer.write({ type: 'start' })
  writer.write(delta(text))
  writer.write({ type: 'tool-output-available', toolCallId: 'c', output: { text: 'x'.repeat(600_000) } })
  writer.write({ type: 'tool-input-available', toolCallId: 'd', toolName: 'big', input: 'é'.repeat(600_000) })
  const records = await closed(writer)
  for (const record of records) t.ok(Buffer.byteLength(JSON.stringify(record)) < 530_000)
  t.equal(textOf(chunksOf(records)), text, 'text is split, not cut')
  t.ok(chunksOf(records).every((chunk) => chunk.type !== 'text-delta' || chunk.delta.isWellFormed()))
  t.match(chunksOf(records).at(-2), { output: /^\{"text":"x+… \[cut: 600011 characters\]$/ })
  t.match(chunksOf(records).at(-1), { toolName: 'big', input: /… \[cut: 600002 characters\]$/ })
})

t.test('a reader that goes away does not disturb the writer', async () => {
  const writer = createChunkWriter()
  writer.write({ type: 'start' })
  await writer.records.cancel()
  writer.write(delta('a'))
  mock.timers.tick(100)
  writer.write(delta('b'))
  writer.close()
})

t.test('whatever is written when, every block keeps its text and nothing else is lost', async (t) => {
  const step = fc.record({
    chunk: fc.oneof(
      fc.tuple(fc.string(), fc.constantFrom('1', '2')).map(([text, id]) => delta(text, id)),
      fc.constantFrom<UIMessageChunk>({ type: 'start-step' }, { type: 'text-end', id: '1' }),
    ),
    after: fc.integer({ min: 0, max: 60 }),
  })
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
      const writer = createChunkWriter()
      for (const { chunk, after } of steps) {
        writer.write(chunk)
        mock.timers.tick(after)
      }
      const written = steps.map(({ chunk }) => chunk)
      const records = chunksOf(await closed(writer))
      for (const id of ['1', '2']) {
        const only = (chunks: UIMessageChunk[]) =>
          chunks.filter((c) => c.type === 'text-delta' && c.id === id)
        t.equal(textOf(only(records)), textOf(only(written)))
      }
      const others = (chunks: UIMessageChunk[]) => chunks.filter(({ type }) => type !== 'text-delta')
      t.same(others(records), others(written))
    }),
    { numRuns: 60 },
  )
})
