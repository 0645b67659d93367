import { test } from 'tap'
import { buildPayload, MAX_PAYLOAD_BYTES } from '../../src/services/start/engine-payload.ts'

const text = (value: string) => [{ type: 'text' as const, text: value }]
const user = (position: number, value = 'question') => ({
  id: `u${position}`,
  role: 'user' as const,
  parts: text(value),
  position,
})
const assistant = (position: number, value = 'answer') => ({
  id: `a${position}`,
  role: 'assistant' as const,
  parts: text(value),
  position,
})
type History = Parameters<typeof buildPayload>[0]['history']

const build = (history: History, ahead: Array<{ runId: string; position: number }> = []) =>
  buildPayload(
    {
      turnId: 't',
      conversationId: 'c',
      message: user(99),
      assistantMessageId: 'a99',
      history,
      ahead,
    },
    { largePayloads: false },
  )
const kept = (history: History) => build(history).history.map(({ id }) => id)

test('the history of a payload', (t) => {
  t.same(kept([]), [])
  t.same(kept([user(1), assistant(1), user(2), assistant(2)]), ['u1', 'a1', 'u2', 'a2'])
  t.same(kept([user(1), user(2), assistant(2)]), ['u1', 'u2', 'a2'], 'a question without an answer is kept')
  t.same(
    kept([assistant(1), user(2), assistant(2)]),
    ['u2', 'a2'],
    'an answer without its question is left out',
  )
  t.same(
    kept([assistant(0), user(0), assistant(0), user(1)]),
    ['a0', 'u0', 'a0', 'u1'],
    'seeded history that begins with an answer is kept',
  )
  const long = Array.from({ length: 40 }, (_, n) => [user(n + 1), assistant(n + 1)]).flat()
  t.same(kept(long).length, 50, 'at most fifty messages are kept')
  t.equal(kept(long)[0], 'u16', 'only whole turns are kept')
  t.end()
})

test('a payload has the newest turns that have room, and the messages of older turns are not read', (t) => {
  const big = 'x'.repeat(50_000)
  const history: History = [
    user(1),
    assistant(1, big),
    user(2),
    assistant(2, big),
    user(3),
    assistant(3, big),
  ]
  const readIds: string[] = []
  const watched = history.map((message) => ({
    ...message,
    get parts() {
      readIds.push(message.id)
      return message.parts
    },
  }))
  const payload = build(watched)
  t.same(
    payload.history.map(({ id }) => id),
    ['u2', 'a2', 'u3', 'a3'],
  )
  t.ok(Buffer.byteLength(JSON.stringify(payload)) <= MAX_PAYLOAD_BYTES)
  const old = Array.from({ length: 30 }, (_, n) => ({
    ...user(n - 40),
    get parts(): never {
      throw new Error('a message that has no room was read')
    },
  }))
  t.doesNotThrow(() => build([...old, ...history]))
  t.end()
})

test('a payload names a run ahead at its place among the messages', (t) => {
  const payload = build([user(1), assistant(1), user(3), assistant(3)], [{ runId: 'run_2', position: 2 }])
  t.same([payload.ahead, payload.aheadAfter], [['run_2'], [2]])
  t.end()
})

test('a message that is too large for a payload without history is refused', (t) => {
  t.throws(
    () =>
      buildPayload(
        {
          turnId: 't',
          conversationId: null,
          message: user(1, 'x'.repeat(MAX_PAYLOAD_BYTES)),
          assistantMessageId: 'a',
          history: [],
          ahead: [],
        },
        { largePayloads: false },
      ),
    { code: 'engine_payload_too_large' },
  )
  t.end()
})

test('a payload has the summary, and the number of messages that have no room', (t) => {
  const base = {
    turnId: 't',
    conversationId: 'c',
    message: user(99),
    assistantMessageId: 'a99',
    history: [user(5), assistant(5)],
    ahead: [],
  }
  const options = { largePayloads: false }
  const stored = { text: 'Ada', messages: 8, dropped: 2, through: 'a4', position: 4, seq: 1 }
  const window = { summary: stored, charactersPerToken: 3 }
  const payload = buildPayload({ ...base, window, omitted: 0 }, options)
  t.same(payload.summary, { text: 'Ada', messages: 8, dropped: 2 })
  t.equal(payload.charactersPerToken, 3)
  t.notOk('omitted' in payload)
  t.equal(buildPayload({ ...base, window, omitted: 3 }, options).omitted, 3)

  const long = {
    ...base,
    message: user(99, 'x'.repeat(118 * 1024)),
    window: { summary: { ...stored, text: 'y'.repeat(8000) } },
  }
  const full = buildPayload(long, options)
  t.notOk('summary' in full, 'the summary has no room beside a long message')
  t.equal(full.omitted, 8 + 2)
  t.equal(full.history.length, 2, 'the history has room beside a long message')
  const big = [user(5, 'x'.repeat(4000)), assistant(5)]
  const fuller = buildPayload({ ...long, history: big }, options)
  t.equal(fuller.omitted, 8 + 2 + 2)
  t.same(fuller.history, [])
  t.end()
})

test('a payload with a response format has a version that an older worker refuses', (t) => {
  const base = {
    turnId: 't',
    conversationId: 'c',
    message: user(9),
    assistantMessageId: 'a9',
    history: [],
    ahead: [],
  }
  const options = { largePayloads: false }
  t.equal(buildPayload({ ...base, limits: { maxSteps: 1 } }, options).version, 1)
  const responseFormat = { type: 'json_schema' as const, name: 'x', schema: { type: 'object' } }
  t.equal(buildPayload({ ...base, responseFormat }, options).version, 2)
  t.end()
})
