import t from 'tap'
import type { KeptWindow } from '../../src/agent/turn.ts'
import { startService } from '../support/service.ts'
import { query, storedTurn } from './rows.ts'

const service = await startService(t)
const { turns, ends } = service.app.stores

/** Makes a conversation with seeded history and `count` started turns. The test stores their ends. */
async function conversation(first: number, count: number, seed: string[] = []) {
  const { body } = await service.call('POST', '/api/agent/conversations', { body: {} })
  const conversationId: string = body.id
  for (const [seq, text] of seed.entries())
    await query(
      service,
      `insert into messages (id, conversation_id, position, seq, role, text, parts) values
       ('00000000-0000-7000-b000-${String(first + seq).padStart(12, '0')}', '${conversationId}', 0, ${seq},
        '${seq % 2 === 0 ? 'user' : 'assistant'}', '${text}', '[]')`,
    )
  const started = []
  for (let n = first; n < first + count; n++) {
    const turn = storedTurn(n, conversationId)
    const placed = await turns.start(turn)
    t.equal(placed.outcome, 'created')
    const runId = `run_summary${n}`
    await turns.record(turn.turnId, runId)
    started.push({ ...turn, runId })
  }
  return { conversationId, started }
}

type Started = Awaited<ReturnType<typeof conversation>>['started'][number] | undefined

function end(turn: Started, window?: KeptWindow, parts: object[] = [{ type: 'text', text: 'Yes.' }]) {
  if (turn === undefined) throw new Error('no such turn')
  return ends.finalize({
    runId: turn.runId,
    status: 'completed',
    output: { id: turn.assistantMessageId, role: 'assistant', parts: parts as never },
    text: 'Yes.',
    usage: null,
    facts: { finishReason: 'stop', ...(window === undefined ? {} : { window }) },
    errorCode: null,
    error: null,
    frameCount: 1,
    truncated: false,
    createdAt: null,
    startedAt: null,
    finishedAt: null,
  })
}

const summary = (text: string, ...through: string[]): KeptWindow => ({
  summary: { text, messages: 2, dropped: 0, through },
  charactersPerToken: 3,
})
const shown = async (id: string) => (await service.call('GET', `/api/agent/conversations/${id}`)).body
const context = (id: string) => turns.context(id, 1_000_000)

t.test('a summary replaces an earlier one only when it stands for more messages', async (t) => {
  const { conversationId, started } = await conversation(100, 4)
  const [one, two, three, four] = started
  await end(one)
  await end(two)
  t.notOk('summary' in (await shown(conversationId)))
  await end(four, summary('through two', two?.assistantMessageId ?? '', two?.message.id ?? ''))
  t.match(await shown(conversationId), { summary: 'through two', summarizedThrough: two?.assistantMessageId })
  await end(three, summary('through one', one?.assistantMessageId ?? '', one?.message.id ?? ''))
  t.match(await shown(conversationId), { summary: 'through two', summarizedThrough: two?.assistantMessageId })
  const { history, window } = await context(conversationId)
  t.same(
    history.map(({ id }) => id),
    [three, four].flatMap((turn) => [turn?.message.id, turn?.assistantMessageId]),
    'the history begins after the summarized messages',
  )
  t.match(window, { summary: { text: 'through two', messages: 2 }, charactersPerToken: 3 })
  const [row] = await query<{ facts: object }>(
    service,
    `select facts from runs where run_id = '${four?.runId}'`,
  )
  t.same(row?.facts, { finishReason: 'stop' }, 'the row of the run does not hold the summary')
})

t.test('a summary stands for whole turns, also when the end of such a turn is stored later', async (t) => {
  const { conversationId, started } = await conversation(110, 3)
  const [one, two, three] = started
  await end(one)
  await end(three, summary('through two', two?.assistantMessageId ?? '', two?.message.id ?? ''))
  t.match(await shown(conversationId), { summarizedThrough: two?.message.id })
  await end(two)
  t.same(
    (await context(conversationId)).history.map(({ id }) => id),
    [three?.message.id, three?.assistantMessageId],
    'the history does not repeat the answer that was stored late',
  )
})

t.test('a summary may end within the seeded history', async (t) => {
  const { conversationId, started } = await conversation(120, 1, ['a', 'b', 'c', 'd'])
  const [one] = started
  await end(one, summary('through b', '00000000-0000-7000-b000-000000000121'))
  const { history } = await context(conversationId)
  t.same(
    history.slice(0, 2).map(({ id }) => id.slice(-3)),
    ['122', '123'],
  )
  t.equal(history.length, 4)
})

t.test('a summary through an id that is no message of the conversation is not stored', async (t) => {
  const { started: foreign } = await conversation(130, 1)
  const { conversationId, started } = await conversation(131, 2)
  const [one, two] = started
  await end(one, summary('x', foreign[0]?.message.id ?? ''))
  await end(two, summary('x', 'no uuid', '', "'; drop table messages"))
  t.notOk('summary' in (await shown(conversationId)))
  t.match(
    (await context(conversationId)).window,
    { charactersPerToken: 3 },
    'the ratio of characters to tokens is stored',
  )
})

t.test('a payload counts the messages for which it has no room', async (t) => {
  const { conversationId } = await conversation(
    140,
    0,
    Array.from({ length: 80 }, (_, n) => `message ${n}`),
  )
  const { history, omitted, window } = await context(conversationId)
  t.equal(history.length, 50)
  t.equal(omitted, 30)
  t.equal(window, null)
})

t.test(
  'a payload has only the beginning of old tool results when prompts are measured in tokens',
  async (t) => {
    const big = (n: number) => [
      {
        type: 'tool-filler',
        toolCallId: `c${n}`,
        state: 'output-available',
        input: {},
        output: { text: 'x'.repeat(40_000) },
      },
      { type: 'text', text: 'Done.' },
    ]
    for (const measured of [false, true]) {
      const { conversationId, started } = await conversation(measured ? 310 : 300, 8)
      for (const [n, turn] of started.entries())
        await end(turn, measured ? { charactersPerToken: 3 } : undefined, big(n))
      const { history, omitted } = await context(conversationId)
      t.equal(history.length + omitted, 16)
      t.equal(omitted > 0, !measured)
      const lengths = history.flatMap(({ parts }) =>
        parts.flatMap((part) => ('output' in part ? [JSON.stringify(part.output).length] : [])),
      )
      if (measured)
        t.ok(
          lengths.slice(0, -1).every((length) => length < 1100),
          JSON.stringify(lengths),
        )
    }
  },
)

t.test('a summary is deleted with its conversation', async (t) => {
  const { conversationId, started } = await conversation(330, 2)
  const [one, two] = started
  await end(one)
  await end(two, summary('secret', one?.message.id ?? ''))
  await service.call('DELETE', `/api/agent/conversations/${conversationId}`)
  t.same(await query(service, `select from conversations where summary->>'text' = 'secret'`), [])
})
