import t from 'tap'
import { type Chunk, UI_VERSIONS } from '../../src/streams/vocabulary.ts'
import { startEngine, startService, token } from '../support/service.ts'
import { CLIENTS, consume, send, textOf, typesOf } from './clients.ts'
import { ready } from './sse.ts'

t.test('the real service and the real clients', async (t) => {
  const engine = await startEngine(t, { childEnv: { AGENT_OFFLINE_WORD_MS: '10' } })
  const service = await startService(t, { engine })
  await ready(service)
  const headers = { authorization: `Bearer ${await token('alice')}` }

  for (const ui of UI_VERSIONS) {
    const client = CLIENTS[ui]
    const api = `${service.url}/api/agent/chat/stream`
    const transport = new client.DefaultChatTransport({
      api: `${api}?ui=${ui}`,
      headers,
      prepareReconnectToStreamRequest: ({ id }: { id: string }) => ({
        api: `${api}/${id}/stream?ui=${ui}`,
        headers,
      }),
    })

    t.test(`AI SDK ${ui} reads a live answer with reasoning and a tool`, async (t) => {
      const { parts, message, thrown, errors } = await consume(
        client,
        await transport.sendMessages(send('Please think: what is 17 * 23?')),
      )
      t.same([thrown, errors], [undefined, []])
      t.equal(textOf(parts), '17 * 23 = 391.')
      t.match(message?.parts, [
        { type: 'step-start' },
        { type: 'reasoning', text: /I was asked/ },
        { type: 'tool-calculate', state: 'output-available', output: { result: 391 } },
        { type: 'step-start' },
        { type: 'text', text: '17 * 23 = 391.' },
      ])
    })

    t.test(`AI SDK ${ui} reads a live failure`, async (t) => {
      const stream = await transport.sendMessages(send('[[fail-after:5]] Tell me a story'))
      const { parts, thrown, errors } = await consume(client, stream)
      const { body } = await service.call(
        'GET',
        `/api/agent/chat/${(parts[0]?.messageMetadata as Chunk | undefined)?.runId}`,
      )
      t.same([thrown, errors.map(String)], [undefined, [`Error: ${body.error}`]])
      t.equal(textOf(parts), body.text)
    })

    t.test(`AI SDK ${ui} reports an error when its token ends in the middle of an answer`, async (t) => {
      const short = { authorization: `Bearer ${await token('alice', {}, '3s')}` }
      const hurried = new client.DefaultChatTransport({ api: `${api}?ui=${ui}`, headers: short })
      const stream = await hurried.sendMessages(send('[[tool-stall:60]] Please think'))
      const { parts, message, thrown } = await consume(client, stream)
      t.type(thrown, Error, 'a cut answer does not look complete')
      t.equal(parts.at(-1)?.type, 'tool-input-available')
      t.match(message?.parts.at(-1), { type: 'tool-sleep', state: 'input-available' })
      const { runId } = (parts[0]?.messageMetadata ?? {}) as { runId?: string }
      await service.call('POST', `/api/agent/chat/${runId}/cancel`)
    })

    t.test(`AI SDK ${ui} reconnects to a live answer, which is then cancelled`, async (t) => {
      const stream = await transport.sendMessages(send('Tell me a story of 20 sentences'))
      const reader = stream.getReader()
      const start = await reader.read()
      const { runId, conversationId } = (start.value?.messageMetadata ?? {}) as Record<string, string>
      await reader.cancel()
      const again = await transport.reconnectToStream({ chatId: conversationId })
      t.ok(again)
      if (again === null) return
      const consumed = consume(client, again)
      const cancelled = await service.call('POST', `/api/agent/chat/${runId}/cancel`)
      const { parts, thrown, errors } = await consumed
      t.same([thrown, errors, parts.at(-1)?.type], [undefined, [], 'abort'])
      t.match(cancelled.body, { status: 'cancelled', text: textOf(parts) })
      t.equal(await transport.reconnectToStream({ chatId: conversationId }), null, 'nothing to resume: 204')
    })
  }
})

t.test('clients whose service drains report an error, and the answer goes on elsewhere', async (t) => {
  const engine = await startEngine(t, { childEnv: { AGENT_OFFLINE_WORD_MS: '30' } })
  const draining = await startService(t, { engine })
  const other = await startService(t, { engine, databaseUrl: draining.databaseUrl })
  await ready(draining, other)
  const headers = { authorization: `Bearer ${await token('alice')}` }
  const begun = UI_VERSIONS.map(async (ui) => {
    const client = CLIENTS[ui]
    const api = (url: string, id = '') => `${url}/api/agent/chat/stream${id}?ui=${ui}`
    const stream = await new client.DefaultChatTransport({ api: api(draining.url), headers }).sendMessages(
      send('Tell me a story of 40 sentences'),
    )
    const [watched, kept] = stream.tee()
    const consumed = consume(client, kept)
    for await (const { type } of watched.values({ preventCancel: true })) if (type === 'text-delta') break
    return { ui, client, api, consumed }
  })
  const clients = await Promise.all(begun)
  await draining.close()
  for (const { ui, client, api, consumed } of clients) {
    const { parts, thrown } = await consumed
    t.type(thrown, Error, `AI SDK ${ui} is told`)
    t.notOk(typesOf(parts).includes('finish'))
    const { conversationId, runId } = (parts[0]?.messageMetadata ?? {}) as Record<string, string>
    const transport = new client.DefaultChatTransport({
      api: api(other.url),
      prepareReconnectToStreamRequest: () => ({ api: api(other.url, `/${conversationId}/stream`), headers }),
    })
    const again = await transport.reconnectToStream({ chatId: conversationId })
    const { body } = await other.ended(runId ?? '')
    t.equal(body.status, 'completed')
    if (again !== null) t.equal(textOf((await consume(client, again)).parts), body.text)
  }
})
