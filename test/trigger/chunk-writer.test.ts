import { mock } from 'node:test'
import { readUIMessageStream, type UIMessage, type UIMessageChunk } from 'ai'
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

t.test('the first chunk is written at once, and later chunks within the window are merged', async (t) => {
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

/** What a client makes of the chunks; none of them may be a mistake to it. */
async function rebuilt(chunks: UIMessageChunk[]): Promise<UIMessage | undefined> {
  let last: UIMessage | undefined
  const stream = ReadableStream.from(chunks)
  for await (const message of readUIMessageStream({ stream, terminateOnError: true })) last = message
  return last
}

/** Chunks with the pauses after them. */
type Script = Array<{ chunk: UIMessageChunk; after?: number }>

async function recorded(script: Script) {
  const writer = createChunkWriter()
  for (const { chunk, after = 0 } of script) {
    writer.write(chunk)
    if (after > 0) mock.timers.tick(after)
  }
  const written = script.map(({ chunk }) => chunk)
  const records = chunksOf(await closed(writer))
  t.ok(records.length <= 800, `${records.length} records of ${written.length} chunks`)
  t.same(records.at(-1), written.at(-1), 'the last chunk is the last')
  return { written, records }
}

const asked = (script: Script): Script => [
  { chunk: { type: 'start', messageId: 'answer' } },
  ...script,
  { chunk: { type: 'data-usage', data: { totalTokens: 7 }, transient: true } },
  { chunk: { type: 'finish', finishReason: 'stop' } },
]

const ABORT = { chunk: { type: 'abort' as const, reason: 'cancelled' } }

interface Step {
  /** Blocks that are written side by side, text and reasoning by turns; words of each; pause after each word. */
  blocks: number
  words: number
  pause: number
  /** Tool calls side by side, pieces of each one's input, and the pause after each of those. */
  calls: number
  pieces: number
  between: number
}

/** One step of the agent as its stream tells it. */
function stepOf({ blocks, words, pause, calls, pieces, between }: Step, step = 0): Script {
  const each = (count: number) => [...Array(count).keys()]
  const block = (n: number) => (n % 2 ? 'reasoning' : 'text') as 'text'
  const tool = (n: number) => ({ toolCallId: `call ${step} ${n}`, toolName: 'look' })
  const input = { asked: '0123456789' }
  const json = JSON.stringify(input)
  const size = Math.ceil(json.length / pieces)
  return [
    { chunk: { type: 'start-step' } },
    ...each(blocks).map((n) => ({ chunk: { type: `${block(n)}-start` as const, id: `${n}` } })),
    ...each(words).flatMap((word) =>
      each(blocks).map((n) => ({
        chunk: { type: `${block(n)}-delta` as const, id: `${n}`, delta: ` ${step}.${n}.${word}` },
        after: pause,
      })),
    ),
    ...each(blocks).map((n) => ({ chunk: { type: `${block(n)}-end` as const, id: `${n}` } })),
    ...each(calls).map((n) => ({ chunk: { type: 'tool-input-start' as const, ...tool(n) } })),
    ...each(pieces).flatMap((piece) =>
      each(calls).map((n) => ({
        chunk: {
          type: 'tool-input-delta' as const,
          toolCallId: tool(n).toolCallId,
          inputTextDelta: json.slice(piece * size, (piece + 1) * size),
        },
        after: between,
      })),
    ),
    ...each(calls).map((n) => ({
      chunk: { type: 'tool-input-available' as const, ...tool(n), input },
      after: between,
    })),
    ...each(calls)
      .reverse()
      .map((n) => ({
        chunk: { type: 'tool-output-available' as const, toolCallId: tool(n).toolCallId, output: n },
        after: between,
      })),
    { chunk: { type: 'finish-step' } },
    { chunk: { type: 'data-usage', data: { totalTokens: step }, transient: true } },
  ]
}

const SILENT: Step = { blocks: 0, words: 0, pause: 0, calls: 0, pieces: 1, between: 0 }

t.test('blocks that are written side by side are at most 800 records, however many and long', async (t) => {
  const minutes = 60_000
  for (const [blocks, pause, length] of [
    [4, 25, 5 * minutes],
    [8, 20, 5 * minutes],
    [40, 10, 5 * minutes],
    [3, 9_000, 24 * 60 * minutes],
  ] as const) {
    const words = Math.floor(length / pause / blocks)
    const { written, records } = await recorded(asked(stepOf({ ...SILENT, blocks, words, pause })))
    t.ok(records.length > 400, `${records.length}: still a live stream`)
    const whole = (chunks: UIMessageChunk[], id: string) =>
      chunks.map((chunk) => ('delta' in chunk && chunk.id === id ? chunk.delta : '')).join('')
    for (const id of Array(blocks).keys())
      t.equal(whole(records, `${id}`), whole(written, `${id}`), `block ${id} of ${blocks}`)
  }
})

t.test('many tool calls are at most 800 records and the same message', async (t) => {
  for (const step of [
    { ...SILENT, calls: 43 },
    { ...SILENT, blocks: 1, words: 200, pause: 20, calls: 15, pieces: 4, between: 100 },
    { ...SILENT, calls: 30, pieces: 1, between: 1_000 },
  ]) {
    const script = asked([...Array(8).keys()].flatMap((n) => stepOf(step, n)))
    const { written, records } = await recorded(script)
    t.same(await rebuilt(records), await rebuilt(written))
  }
})

t.test('a stream that cannot hold every call tells all that is said, and ends as it should', async (t) => {
  const step = { ...SILENT, blocks: 2, words: 20, pause: 50, calls: 100, between: 40 }
  const { written, records } = await recorded(asked([...Array(8).keys()].flatMap((n) => stepOf(step, n))))
  t.equal(textOf(records), textOf(written))
  t.same(records.at(-2), written.at(-2), 'its usage is there')
  const tools = (await rebuilt(records))?.parts.filter(({ type }) => type === 'tool-look') ?? []
  t.ok(tools.length > 200, `${tools.length} of 800 calls`)
  t.ok(tools.every((part) => 'state' in part && part.state === 'output-available'))
})

t.test('a stream that cannot hold every block joins them', async (t) => {
  const many = Array.from({ length: 800 }, () =>
    stepOf({ ...SILENT, blocks: 2, words: 1, pause: 200 }),
  ).flat()
  const { written, records } = await recorded(asked(many))
  t.equal(textOf(records), textOf(written))
  t.ok(await rebuilt(records))
})

t.test('the results of calls that are seen to run are kept rather than calls that are not', async (t) => {
  const { records } = await recorded(asked(stepOf({ ...SILENT, calls: 330, pieces: 1, between: 20 })))
  const message = await rebuilt(records)
  const open = message?.parts.filter((part) => 'state' in part && part.state !== 'output-available')
  t.same(open, [])
})

t.test('a call that is cut off shows the part of its input that was written', async (t) => {
  const long = stepOf({ ...SILENT, blocks: 8, words: 3_000, pause: 10 })
  const call = stepOf({ ...SILENT, calls: 1, pieces: 5, between: 50 }, 1).slice(0, 4)
  const { written, records } = await recorded([
    { chunk: { type: 'start', messageId: 'answer' } },
    ...long,
    ...call,
    ABORT,
  ])
  t.ok(records.length > 400)
  t.match(written.at(-2), { type: 'tool-input-delta' })
  const tool = (chunks: UIMessageChunk[]) =>
    chunks
      .filter((chunk) => chunk.type === 'tool-input-delta')
      .map(({ inputTextDelta }) => inputTextDelta)
      .join('')
  t.equal(tool(records), tool(written))
})

t.test('every stream is at most 800 records, and a usual one rebuilds the same message', async (t) => {
  const step = fc.record({
    blocks: fc.integer({ min: 0, max: 6 }),
    words: fc.integer({ min: 0, max: 40 }),
    pause: fc.constantFrom(0, 5, 40, 900),
    calls: fc.oneof(fc.integer({ min: 0, max: 4 }), fc.integer({ min: 0, max: 60 })),
    pieces: fc.integer({ min: 1, max: 4 }),
    between: fc.constantFrom(0, 10, 300),
  })
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 8 }), fc.nat(), async (steps, at) => {
      const whole = asked(steps.flatMap((step, n) => stepOf(step, n)))
      const cut = [...whole.slice(0, 1 + (at % whole.length)), ABORT]
      const { written, records } = await recorded(at % 3 === 0 ? cut : whole)
      const message = await rebuilt(records)
      const usual = written.filter((chunk) => !chunk.type.endsWith('-delta')).length <= 180
      if (usual) t.same(message, await rebuilt(written))
      // Blocks side by side may be told apart, or one after the other.
      const words = (chunks: UIMessageChunk[]) => textOf(chunks).split(' ').sort()
      t.same(words(records), words(written))
    }),
    { numRuns: 40 },
  )
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

t.test('in any order of writes, every block keeps its text and no other chunk is lost', async (t) => {
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
