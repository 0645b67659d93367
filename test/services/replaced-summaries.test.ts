import t from 'tap'
import type { KeptWindow } from '../../src/agent/turn.ts'
import type { NewTurn } from '../../src/stores/turns.ts'
import { startService } from '../support/service.ts'
import { query, storedTurn } from './rows.ts'

const service = await startService(t)
const { turns, ends } = service.app.stores
const CONVERSATIONS = '/api/agent/conversations'

interface Started {
  turnId: string
  runId: string
  assistantMessageId: string
  messageId: string
  position: number
}

async function place(n: number, conversationId: string, wish: Partial<NewTurn> = {}): Promise<Started> {
  const { message, ...turn } = storedTurn(n, conversationId)
  const placed = await turns.start({ ...turn, ...(wish.retryOf === undefined ? { message } : {}), ...wish })
  if (placed.outcome !== 'created') throw new Error(placed.outcome)
  const { turnId, assistantMessageId } = turn
  return {
    turnId,
    runId: `run_kept${n}`,
    assistantMessageId,
    messageId: message.id,
    position: placed.position,
  }
}

async function begin(n: number, conversationId: string, wish: Partial<NewTurn> = {}): Promise<Started> {
  const turn = await place(n, conversationId, wish)
  await turns.record(turn.turnId, turn.runId)
  return turn
}

const end = ({ runId, assistantMessageId }: Started, window?: KeptWindow) =>
  ends.finalize({
    runId,
    status: 'completed',
    output: { id: assistantMessageId, role: 'assistant', parts: [{ type: 'text', text: `of ${runId}` }] },
    text: `of ${runId}`,
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

const through = ({ assistantMessageId, messageId }: Started, text = 'so far'): KeptWindow => ({
  summary: { text, messages: 4, dropped: 1, through: [assistantMessageId, messageId] },
  charactersPerToken: 3,
})
const shown = async (id: string) => (await service.call('GET', `${CONVERSATIONS}/${id}`)).body
const historyOf = async (id: string) => (await turns.context(id, 1_000_000)).history.map(({ id }) => id)
const idsOf = (...all: Started[]) => all.flatMap((turn) => [turn.messageId, turn.assistantMessageId])

/** A conversation of four turns; a summary stands for the first two. */
async function summarized(first: number) {
  const id: string = (await service.call('POST', CONVERSATIONS, { body: {} })).body.id
  const one = await begin(first, id)
  const two = await begin(first + 1, id)
  const three = await begin(first + 2, id)
  const four = await begin(first + 3, id)
  for (const turn of [one, two, three]) await end(turn)
  await end(four, through(two))
  t.match(await shown(id), { summary: 'so far', summarizedThrough: two.assistantMessageId })
  return { id, one, two, three, four }
}

t.test('an edit behind the summarized messages keeps the summary', async (t) => {
  const { id, two, three } = await summarized(100)
  const edit = await begin(104, id, { editFrom: three.position })
  t.match(await shown(id), { summary: 'so far', summarizedThrough: two.assistantMessageId })
  await end(edit)
  t.same(await historyOf(id), idsOf(edit))
})

t.test('an edit of a summarized message removes the summary', async (t) => {
  const { id, one, two } = await summarized(110)
  const edit = await begin(114, id, { editFrom: two.position })
  const after = await shown(id)
  t.notOk('summary' in after || 'summarizedThrough' in after)
  await end(edit)
  t.same(await historyOf(id), idsOf(one, edit), 'the next prompt has the messages of the first turn again')
  t.match(
    (await turns.context(id, 1_000_000)).window,
    { charactersPerToken: 3 },
    'the ratio of characters to tokens stays',
  )
})

t.test('an edit whose turn is removed leaves the thread and its summary unchanged', async (t) => {
  const { id, two, three, four } = await summarized(120)
  const whole = async (name: string) => {
    t.match(await shown(id), { summary: 'so far', summarizedThrough: two.assistantMessageId }, name)
    t.same(await historyOf(id), idsOf(three, four), `${name}: the next prompt`)
  }
  const edit = await place(124, id, { editFrom: two.position })
  t.notOk('summary' in (await shown(id)))
  t.ok(await turns.remove(edit.turnId))
  await whole('the edit is removed')

  const first = await place(125, id, { editFrom: two.position })
  const second = await place(126, id, { editFrom: two.position })
  t.ok(await turns.remove(first.turnId))
  t.notOk('summary' in (await shown(id)), 'the second edit still replaces the messages')
  t.ok(await turns.remove(second.turnId))
  await whole('both edits are removed')
})

t.test('an abandoned edit restores the summary once, and not again when its turn is removed', async (t) => {
  const { id, one, two } = await summarized(180)
  const abandoned = await place(184, id, { editFrom: two.position })
  t.ok(await turns.abandon(abandoned.turnId))
  t.match(await shown(id), { summary: 'so far' })
  const edit = await begin(185, id, { editFrom: two.position })
  t.ok(await turns.remove(abandoned.turnId))
  t.notOk('summary' in (await shown(id)), 'the summary was of messages that another edit has replaced')
  await end(edit)
  t.same(await historyOf(id), idsOf(one, edit))
})

t.test('the summary of a superseded run is not stored', async (t) => {
  for (const first of [130, 140]) {
    const { id, three, four } = await summarized(first)
    const live = await begin(first + 4, id)
    const wish: Partial<NewTurn> =
      first === 130 ? { retryOf: live.runId, ifBusy: 'interrupt' } : { editFrom: four.position }
    const next = await begin(first + 5, id, wish)
    await end(live, through(three, 'of the replaced run'))
    t.match(await shown(id), { summary: 'so far' })
    await end(next, through(three, 'of the new run'))
    t.match(await shown(id), { summary: 'of the new run', summarizedThrough: three.assistantMessageId })
  }
})

t.test('a fork has the summary of its copied messages', async (t) => {
  const { id, two, three } = await summarized(150)
  const fork = async (throughMessageId?: string) => {
    const path = `${CONVERSATIONS}/${id}/fork`
    const { status, body } = await service.call('POST', path, { body: { throughMessageId } })
    t.equal(status, 201)
    return body.id as string
  }
  const messagesOf = async (of: string) =>
    (await service.call('GET', `${CONVERSATIONS}/${of}/messages`)).body.data as Array<{ id: string }>

  for (const [last, count] of [
    [undefined, 8],
    [three.messageId, 5],
    [two.assistantMessageId, 4],
  ] as const) {
    const forked = await fork(last)
    const copies = await messagesOf(forked)
    t.equal(copies.length, count)
    t.match(await shown(forked), { summary: 'so far', summarizedThrough: copies[3]?.id })
    t.same(
      await historyOf(forked),
      copies.slice(4).map(({ id }) => id),
      'the history of the fork begins after the summary',
    )
    t.match((await turns.context(forked, 1_000_000)).window, { summary: { messages: 4, dropped: 1 } })
  }
  const before = await fork(two.messageId)
  t.notOk('summary' in (await shown(before)), 'a fork of fewer messages than are summarized has no summary')
  t.equal((await historyOf(before)).length, 3)

  const whole = await fork()
  const again = await service.call('POST', `${CONVERSATIONS}/${whole}/fork`, { body: {} })
  t.match(await shown(again.body.id), {
    summary: 'so far',
    summarizedThrough: (await messagesOf(again.body.id))[3]?.id,
  })
  await service.call('DELETE', `${CONVERSATIONS}/${id}`)
  t.match(await shown(whole), { summary: 'so far' }, 'a fork keeps its summary when its original is deleted')
  const next = await begin(158, whole)
  await end(next, through(next, 'further'))
  t.match(await shown(whole), { summary: 'further' })
})

t.test('a run names the edit that has replaced it after the start of its retry was refused', async (t) => {
  const id: string = (await service.call('POST', CONVERSATIONS, { body: {} })).body.id
  const one = await begin(160, id)
  await end(one)
  const retry = await place(161, id, { retryOf: one.runId })
  const edit = await begin(162, id, { editFrom: one.position })
  t.ok(await turns.remove(retry.turnId))
  const [row] = await query(service, `select superseded_by from runs where run_id = '${one.runId}'`)
  t.match(row, { superseded_by: edit.runId })
})
