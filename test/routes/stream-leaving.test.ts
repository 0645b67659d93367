import { setTimeout as sleep } from 'node:timers/promises'
import fc from 'fast-check'
import t from 'tap'
import { ask, openStream, ready, textOf, typesOf } from '../streams/sse.ts'
import { startEngine, startService } from '../support/service.ts'

const RUNS = 5
const CLIENTS = 200

const timers = () => process.getActiveResourcesInfo().filter((kind) => kind === 'Timeout').length

t.test(
  `${CLIENTS} clients that go at any moment leave nothing behind, and all answers are complete`,
  async (t) => {
    const engine = await startEngine(t, { childEnv: { AGENT_OFFLINE_WORD_MS: '20' } })
    const service = await startService(t, { engine })
    await ready(service)
    await (await ask(service, 'What is 1 + 1?')).closed
    const before = timers()

    const message = 'Tell me a story of 9 sentences'
    const owners = await Promise.all(Array.from({ length: RUNS }, () => ask(service, message)))
    const runIds = owners.map(({ headers }) => headers.get('x-run-id') ?? '')
    const visits = fc.sample(
      fc.record({
        run: fc.constantFrom(...runIds),
        arrival: fc.nat(1_500),
        stay: fc.oneof(fc.nat(5), fc.nat(500)),
        cursor: fc.constantFrom(null, null, null, 0, 1, 2),
      }),
      { numRuns: CLIENTS, seed: 20 },
    )
    let cut = 0
    const visit = async ({ run, arrival, stay, cursor }: (typeof visits)[number]) => {
      await sleep(arrival)
      const headers = cursor === null ? {} : { 'last-event-id': String(cursor) }
      const stream = await openStream(service, `/api/agent/chat/${run}/stream`, { headers })
      await sleep(stay)
      stream.leave()
      if ((await stream.closed) === 'cut') cut++
    }
    const all = visits.map(visit)
    for (const owner of owners) {
      await owner.until(({ chunk }) => chunk?.type === 'text-delta')
      owner.leave()
    }
    await Promise.all(all)
    t.ok(cut > CLIENTS / 4, `${cut} of them went in the middle`)

    const polls = await Promise.all(runIds.map((runId) => service.ended(runId)))
    for (const { body } of polls) t.match(body, { status: 'completed', text: polls[0]?.body.text })
    t.ok((polls[0]?.body.text.length ?? 0) > 200)
    // What is left over would be there for ever: the test would not end.
    while (service.app.streams.stats().viewers > 0 || service.app.streams.stats().logs > 0) await sleep(20)
    while (service.app.services.waiters.count() > 0) await sleep(20)
    t.match(service.app.streams.stats(), { viewers: 0, logs: 0 })
    // Connections to the database keep some; one for each client would be two hundred.
    t.ok(timers() < before + CLIENTS / 4, `${before} timers before, ${timers()} after`)
  },
)

t.test(
  'a run that is cancelled during a tool keeps what was said, and the tool call is closed',
  async (t) => {
    const service = await startService(t)
    await ready(service)
    const stream = await ask(service, '[[tool-stall:60]] Sleep, please')
    const conversationId = stream.headers.get('x-conversation-id') ?? ''
    const runId = stream.headers.get('x-run-id') ?? ''
    await stream.until(({ chunk }) => chunk?.type === 'tool-input-available')
    const cancelled = await service.call('POST', `/api/agent/chat/${runId}/cancel`)
    t.equal(await stream.closed, 'end')
    t.same(typesOf(stream.events).slice(-2), ['abort', '[DONE]'])
    const run = (await service.ended(runId)).body
    t.match(run, { status: 'cancelled', text: textOf(stream.events) })
    t.ok(run.usage.totalTokens > 0, 'usage is kept')
    t.match(cancelled.body, { runId, status: /cancelled|running/ })
    const { body } = await service.call('GET', `/api/agent/conversations/${conversationId}/messages`)
    t.match(body.data.at(-1), {
      id: stream.events[0]?.chunk.messageId,
      status: 'cancelled',
      parts: [{ type: 'step-start' }, { type: 'tool-sleep', state: 'output-error', errorText: 'cancelled' }],
    })
    const next = await ask(service, 'What is 2 + 3?', { extra: { conversationId } })
    t.equal(await next.closed, 'end')
    t.equal(textOf(next.events), '2 + 3 = 5.', 'the conversation takes the next message')
  },
)
