import t, { type Test } from 'tap'
import type { UiVersion } from '../../src/streams/vocabulary.ts'
import { startEngine, startService } from '../support/service.ts'
import { CLIENTS, readServed, textOf } from './clients.ts'
import { gistOf, RECORDINGS, type Recording, record, recorded } from './recordings.ts'
import { ready } from './sse.ts'

/** Clients, and the vocabulary that they are sent; 7 reads that of 6, which is the default, too. */
const READERS: [UiVersion, UiVersion][] = [
  [5, 5],
  [6, 6],
  [7, 6],
  [7, 7],
]

for (const [version, ui] of READERS) {
  t.test(`the client of AI SDK ${version} reads recorded runs with ?ui=${ui}`, async (t) => {
    /** Lets the client read a recording, which has to give it the whole text and no fault. */
    const replay = async (t: Test, name: Recording) => {
      const records = recorded(name)
      const { parts, message, thrown, errors } = await readServed(t, CLIENTS[version], ui, records)
      t.equal(thrown, undefined)
      const text = textOf(records.map(({ chunk }) => chunk))
      t.not(text, '')
      t.equal(textOf(parts), text)
      t.equal(message?.parts.at(-1)?.text, text, 'the message says the same')
      return { parts: message?.parts, errors: errors.map(String), last: parts.at(-1) }
    }

    t.test('an answer with reasoning, a tool call and its result', async (t) => {
      const { parts, errors, last } = await replay(t, 'reasoning-and-tool')
      t.same(errors, [])
      t.match(last, { type: 'finish', finishReason: 'stop' })
      t.match(parts, [
        { type: 'step-start' },
        { type: 'reasoning', text: 'I was asked: "Please think: what is 17 * 23?". Let me see.' },
        {
          type: 'tool-calculate',
          state: 'output-available',
          input: { expression: '17 * 23' },
          output: { expression: '17 * 23', result: 391 },
        },
        { type: 'step-start' },
        { type: 'text', text: '17 * 23 = 391.', state: 'done' },
      ])
    })

    t.test('an answer whose tool fails', async (t) => {
      const { parts, errors, last } = await replay(t, 'failing-tool')
      t.same(errors, [])
      t.match(last, { type: 'finish', finishReason: 'stop' })
      t.match(parts, [
        { type: 'step-start' },
        {
          type: 'tool-calculate',
          state: 'output-error',
          errorText: 'The result is infinite: a division by zero or too large a number.',
        },
        { type: 'step-start' },
        { type: 'text', state: 'done' },
      ])
    })

    t.test('an error in the middle of a sentence', async (t) => {
      const { parts, errors, last } = await replay(t, 'error')
      t.same(errors, ['Error: The model provider had an internal problem.'])
      t.equal(last?.type, 'error')
      t.match(parts, [{ type: 'step-start' }, { type: 'text', state: 'streaming' }])
    })

    t.test('an abort in the middle of a sentence, which is no error', async (t) => {
      const { parts, errors, last } = await replay(t, 'abort')
      t.same(errors, [])
      t.equal(last?.type, 'abort')
      t.match(parts, [{ type: 'step-start' }, { type: 'text', state: 'streaming' }])
    })
  })
}

t.test('the recordings are what runs write today (otherwise: node test/streams/record.ts)', async (t) => {
  const engine = await startEngine(t)
  const service = await startService(t, { engine })
  await ready(service)
  for (const name of RECORDINGS) t.same(gistOf(await record(service, name)), gistOf(recorded(name)), name)
})
