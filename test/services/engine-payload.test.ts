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
  t.same(kept([user(1), user(2), assistant(2)]), ['u1', 'u2', 'a2'], 'a question may have no answer')
  t.same(kept([assistant(1), user(2), assistant(2)]), ['u2', 'a2'], 'the rest of a cut turn is left out')
  t.same(
    kept([assistant(0), user(0), assistant(0), user(1)]),
    ['a0', 'u0', 'a0', 'u1'],
    'seeded history may begin with an answer',
  )
  const long = Array.from({ length: 40 }, (_, n) => [user(n + 1), assistant(n + 1)]).flat()
  t.same(kept(long).length, 50, 'at most fifty messages')
  t.equal(kept(long)[0], 'u16', 'and whole turns')
  t.end()
})

test('the newest turns that have room are kept, and only they are looked at', (t) => {
  const big = 'x'.repeat(50_000)
  const history: History = [
    user(1),
    assistant(1, big),
    user(2),
    assistant(2, big),
    user(3),
    assistant(3, big),
  ]
  const looked: string[] = []
  const watched = history.map((message) => ({
    ...message,
    get parts() {
      looked.push(message.id)
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

test('a run ahead has its place among the messages that are sent', (t) => {
  const payload = build([user(1), assistant(1), user(3), assistant(3)], [{ runId: 'run_2', position: 2 }])
  t.same([payload.ahead, payload.aheadAfter], [['run_2'], [2]])
  t.end()
})

test('a message that does not fit alone is refused', (t) => {
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
