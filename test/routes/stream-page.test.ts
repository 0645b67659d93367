import t from 'tap'
import { type OpenStream, openStream, ready, textOf, userMessage } from '../streams/sse.ts'
import { type CallOptions, startEngine, startService } from '../support/service.ts'

const STREAM = '/api/agent/chat/stream'
const FOREIGN = '0198c5a2-7d3e-7b1a-9f00-3f2a1c4d5e6f'

interface PageMessage {
  id: string
  role: string
  parts: unknown[]
  metadata?: unknown
}

t.test('a chat page that sends what the transports of the AI SDK send', async (t) => {
  const engine = await startEngine(t)
  const service = await startService(t, { engine })
  await ready(service)

  /** The answer as the page keeps it. */
  const answerOf = ({ events }: OpenStream): PageMessage => ({
    id: events[0]?.chunk.messageId,
    role: 'assistant',
    metadata: events[0]?.chunk.messageMetadata,
    parts: [{ type: 'text', text: textOf(events) }],
  })
  /** Sends a message and adds it and its answer to the page. */
  const send = async (page: PageMessage[], text: string, extra: object = {}, options: CallOptions = {}) => {
    const messages = [...page, { ...userMessage(text), id: `${page.length}` }]
    const body = { id: `chat-${Math.random()}`, trigger: 'submit-message', messages, ...extra }
    const stream = await openStream(service, STREAM, { ...options, body })
    await stream.closed
    page.splice(0, page.length, ...messages, answerOf(stream))
    return stream
  }
  const post = (messages: unknown[], extra: object = {}, options: CallOptions = {}) =>
    service.call('POST', STREAM, { ...options, body: { id: 'chat', messages, ...extra } })
  const storedIn = async (conversationId: string | null) =>
    (await service.call('GET', `/api/agent/conversations/${conversationId}/messages`)).body.data
  const conversationOf = (stream: OpenStream) => stream.headers.get('x-conversation-id') ?? ''

  const idOf = ({ id }: { id: string }) => id

  t.test('stays in one conversation', async (t) => {
    const page: PageMessage[] = []
    const streams = [
      await send(page, 'My name is Ada'),
      await send(page, 'What is 1 + 1?'),
      await send(page, 'What is my name?'),
    ]
    t.equal(new Set(streams.map(conversationOf)).size, 1)
    t.match(textOf(streams[2]?.events ?? []), /Ada/)
    t.equal((await storedIn(conversationOf(streams[0] as OpenStream))).length, 6)
  })

  t.test(
    'is asked for its conversation in a fixed order: body, newest metadata, id of the chat',
    async (t) => {
      const ids = await Promise.all(
        [1, 2, 3].map(
          async () => (await service.call('POST', '/api/agent/conversations', { body: {} })).body.id,
        ),
      )
      const [inBody, inMetadata, ofChat] = ids
      const older = { id: 'a', role: 'assistant', parts: [], metadata: { conversationId: FOREIGN } }
      const newer = { id: 'b', role: 'assistant', parts: [], metadata: { conversationId: inMetadata } }
      const all = { conversationId: inBody, id: ofChat }
      const table: [string | undefined, unknown[], object][] = [
        [inBody, [older, newer], all],
        [inMetadata, [older, newer], { id: ofChat }],
        [ofChat, [], { id: ofChat }],
        [ofChat, [], { id: ofChat?.toUpperCase() }],
      ]
      for (const [expected, earlier, extra] of table) {
        const { headers } = await post([...earlier, userMessage('Hi')], extra)
        t.equal(headers.get('x-conversation-id'), expected)
      }
      for (const id of [FOREIGN, 'x'.repeat(100_000), 17, null]) {
        const { status, headers } = await post([userMessage('Hi')], { id })
        t.equal(status, 200, 'an id of a chat that is no conversation of the caller begins a new one')
        t.notOk([...ids, FOREIGN].includes(headers.get('x-conversation-id') ?? ''))
      }
    },
  )

  t.test('cannot reach a foreign conversation by metadata, and odd metadata means nothing', async (t) => {
    const own = await send([], 'Hi', {}, { headers: {} })
    const metadata = { conversationId: conversationOf(own) }
    const foreign = { id: 'a', role: 'assistant', parts: [], metadata }
    const refused = await post([foreign, userMessage('Hi')], {}, { user: 'eve' } as CallOptions)
    t.match(refused, { status: 404, body: { code: 'conversation_not_found' } })
    const unknown = { ...foreign, metadata: { conversationId: FOREIGN } }
    t.match(await post([unknown, userMessage('Hi')]), {
      status: 404,
      body: { code: 'conversation_not_found' },
    })
    for (const odd of [
      null,
      'text',
      [metadata],
      { conversationId: [metadata.conversationId] },
      { conversationId: { id: metadata.conversationId } },
      { conversationId: 'the chat of ours' },
      { conversationId: `${metadata.conversationId} ` },
      { conversationId: 'f'.repeat(100_000) },
      { conversationId: 7 },
    ]) {
      const { status, headers } = await post([{ ...foreign, metadata: odd }, userMessage('Hi')])
      t.equal(status, 200)
      t.not(headers.get('x-conversation-id'), metadata.conversationId)
    }
  })

  t.test('may show anything before its message', async (t) => {
    const first = await send([], 'My name is Ada')
    const conversationId = conversationOf(first)
    const shown = [
      null,
      'text',
      { role: 'tool' },
      { id: 'a', role: 'assistant', parts: [{ type: 'text', text: 'x'.repeat(160_040) }] },
      { id: 'b', role: 'assistant', parts: 'none' },
      { id: 'c', role: 'user', parts: [{ type: 'file', url: 'data:,' }, { type: 'unheard-of' }, 7] },
      { id: 'd', role: 'assistant', parts: [{ type: 'text', text: 'nul \u0000 and half \ud800 of it' }] },
      { id: 'e', role: 'assistant', parts: [], metadata: { 'a\u0000': [[['deep']]] } },
    ]
    const named = await post([...shown, userMessage('What is my name?')], { conversationId })
    t.equal(named.status, 200, JSON.stringify(named.body).slice(0, 300))
    t.match((await storedIn(conversationId)).at(-1).text, /Ada/)

    const seeded = await post([...shown, userMessage('What is 2 + 3?')])
    t.equal(seeded.status, 200, JSON.stringify(seeded.body).slice(0, 300))
    const texts = (await storedIn(seeded.headers.get('x-conversation-id'))).map(
      ({ text }: { text: string }) => text,
    )
    t.same(texts, ['x'.repeat(100_000), 'nul \ufffd and half \ufffd of it', 'What is 2 + 3?', '2 + 3 = 5.'])

    const last = { ...userMessage('Hi'), parts: [{ type: 'text', text: 'x'.repeat(100_001) }] }
    const long = await post([...shown, last], { conversationId })
    t.match(long.body, { code: 'invalid_request', errors: [{ path: '/messages/8/parts/0/text' }] })
    const odd = await post([...shown, { id: 'z' }], { conversationId })
    t.match(odd.body, { code: 'invalid_request', errors: [{ path: '/messages/8/role' }] })
  })

  /** A conversation of two turns, as a page shows it and as it is loaded. */
  const twoTurns = async () => {
    const page: PageMessage[] = []
    const id = `chat-${Math.random()}`
    const conversationId = conversationOf(await send(page, 'What is 1 + 1?', { id }))
    await send(page, 'What is 2 + 2?', { id })
    const before = await storedIn(conversationId)
    const stored: PageMessage[] = before.map(({ id, role, parts, metadata }: PageMessage) => ({
      ...{ id, role, parts, metadata },
    }))
    return { id, page, stored, conversationId, before }
  }
  const textsIn = async (conversationId: string) =>
    (await storedIn(conversationId)).map(({ text }: { text: string }) => text)

  t.test('gets another answer to its last question, however it shows the conversation', async (t) => {
    const regenerate = { trigger: 'regenerate-message' }
    for (const name of ['live', 'loaded', 'named', 'once more'] as const) {
      const { id, page, stored, conversationId, before } = await twoTurns()
      const shown = (name === 'loaded' ? stored : page).slice(0, 3)
      const extra = { id, ...regenerate, ...(name === 'named' ? { messageId: page[3]?.id } : {}) }
      const again = await post(shown, extra)
      t.equal(again.status, 200, `${name}: ${JSON.stringify(again.body).slice(0, 200)}`)
      if (name === 'once more') t.equal((await post(shown, extra)).status, 200)
      const after = await storedIn(conversationId)
      t.same(after.slice(0, 3).map(idOf), before.slice(0, 3).map(idOf), 'the question stays as it is')
      t.equal(after.length, 4)
      t.not(after[3].id, before[3].id)
      t.equal(after[3].text, '2 + 2 = 4.')
    }
  })

  t.test('gets another answer to its first question, which names no conversation', async (t) => {
    const page: PageMessage[] = []
    const id = 'a fresh chat'.replaceAll(' ', '-')
    const conversationId = conversationOf(await send(page, 'What is 1 + 1?', { id }))
    const again = await post(page.slice(0, 1), { id, trigger: 'regenerate-message' })
    t.equal(again.headers.get('x-conversation-id'), conversationId)
    t.same(await textsIn(conversationId), ['What is 1 + 1?', '1 + 1 = 2.'])
    const edited = { ...userMessage('What is 5 + 5?'), id: '0' }
    await post([edited], { id, messageId: '0' })
    t.same(await textsIn(conversationId), ['What is 5 + 5?', '5 + 5 = 10.'])
    const other = await post([{ ...edited, id: '7' }], { id, trigger: 'regenerate-message' })
    t.not(other.headers.get('x-conversation-id'), conversationId, 'another message is a start')
    const eve = await post([edited], { id, messageId: '0' }, { user: 'eve' } as CallOptions)
    t.not(eve.headers.get('x-conversation-id'), conversationId, 'and so is one of another user')
  })

  t.test('replaces the turns from an edited message on', async (t) => {
    const edited = { ...userMessage('What is 3 + 3?'), id: 'edited' }
    const table: [string, (two: Awaited<ReturnType<typeof twoTurns>>) => [unknown[], object], string[]][] = [
      [
        'the last one',
        ({ page }) => [[...page.slice(0, 2), { ...edited, id: page[2]?.id }], { messageId: page[2]?.id }],
        ['What is 1 + 1?', '1 + 1 = 2.', 'What is 3 + 3?', '3 + 3 = 6.'],
      ],
      [
        'the first one',
        ({ page }) => [[{ ...edited, id: page[0]?.id }], { messageId: page[0]?.id }],
        ['What is 3 + 3?', '3 + 3 = 6.'],
      ],
      [
        'a loaded one',
        ({ stored }) => [[...stored.slice(0, 2), { ...edited, id: stored[2]?.id }], {}],
        ['What is 1 + 1?', '1 + 1 = 2.', 'What is 3 + 3?', '3 + 3 = 6.'],
      ],
      [
        'one that is answered again with another text, by a page that knows the newest message',
        ({ page, before }) => [
          [...page.slice(0, 2), edited],
          { trigger: 'regenerate-message', headMessageId: before[3].id },
        ],
        ['What is 1 + 1?', '1 + 1 = 2.', 'What is 3 + 3?', '3 + 3 = 6.'],
      ],
      [
        'a list that was cut off, by a page that knows the newest message',
        ({ page, before }) => [[...page.slice(0, 2), edited], { headMessageId: before[3].id }],
        ['What is 1 + 1?', '1 + 1 = 2.', 'What is 3 + 3?', '3 + 3 = 6.'],
      ],
    ]
    for (const [name, asked, texts] of table) {
      const two = await twoTurns()
      const [messages, extra] = asked(two)
      const { status, body } = await post(messages, { id: two.id, ...extra })
      t.equal(status, 200, `${name}: ${JSON.stringify(body).slice(0, 200)}`)
      t.same(await textsIn(two.conversationId), texts, name)
      const path = `/api/agent/conversations/${two.conversationId}/messages?include=superseded`
      const all = (await service.call('GET', path)).body.data
      const ids = all.filter(({ superseded }: { superseded?: true }) => superseded).map(idOf)
      t.same(ids, two.before.slice(texts.length - 2).map(idOf), `${name}: nothing is lost`)
    }
  })

  t.test('is refused before anything is stored when it lacks what the conversation holds', async (t) => {
    const { id, page, stored, conversationId, before } = await twoTurns()
    const [first, answer] = page as [PageMessage, PageMessage]
    const edited = { ...userMessage('What is 3 + 3?'), id: 'edited' }
    const head = before.at(-1).id
    const table: [string, string, unknown[], object?][] = [
      ['conversation_changed', 'a list cut off by assistant-ui', [first, answer, edited]],
      ['conversation_changed', 'a loaded list, cut off', [...stored.slice(0, 2), edited]],
      [
        'conversation_changed',
        'a loaded list, cut off after a question',
        [stored[0], edited],
        { conversationId },
      ],
      [
        'conversation_changed',
        'an edit by a page that knows an older head',
        [first, answer, edited],
        { messageId: 'edited', headMessageId: answer.id },
      ],
      [
        'conversation_changed',
        'a message by a page that knows an older head',
        [edited],
        { conversationId, headMessageId: answer.id },
      ],
      ['turn_not_last', 'the first answer', [first], { trigger: 'regenerate-message', conversationId }],
    ]
    for (const [code, name, messages, extra] of table) {
      const { status, body } = await post(messages, { id, ...extra })
      t.match({ status, ...body }, { status: 409, code, headMessageId: head }, name)
      t.notOk('retryAfter' in body, 'waiting does not help')
    }
    const unknown = await post([edited], { id, conversationId, messageId: 'edited' })
    t.match(unknown, { status: 400, body: { code: 'edit_unsupported', detail: /shows no message/ } })
    t.same(await storedIn(conversationId), before, 'nothing was stored')
    const foreign = await post([first, answer, edited], {}, { user: 'eve' } as CallOptions)
    t.match(foreign.body, { code: 'conversation_not_found' }, 'another user learns nothing')
    t.notOk('headMessageId' in foreign.body)
  })

  t.test('is told when another page has repeated or edited what it shows', async (t) => {
    const { id, page, stored, conversationId } = await twoTurns()
    const regenerate = { id, trigger: 'regenerate-message' }
    await post(page.slice(0, 3), regenerate)
    for (const shown of [page, stored]) {
      const late = await post([...shown, userMessage('What is 3 + 3?')], { id })
      t.match(late, { status: 409, body: { code: 'conversation_changed' } }, 'the answer is another one')
    }
    await post([...page.slice(0, 2), { ...userMessage('What is 5 + 5?'), id: 'e' }], { id, messageId: 'e' })
    const before = await storedIn(conversationId)
    for (const shown of [page, stored]) {
      const late = await post(shown.slice(0, 3), regenerate)
      t.match(late, { status: 409, body: { code: 'conversation_changed' } }, 'the question is another one')
    }
    t.same(await storedIn(conversationId), before)
  })

  t.test('cannot change or repeat what came along as history', async (t) => {
    const seeded = await post([
      userMessage('Hello'),
      { id: 'a', role: 'assistant', parts: [{ type: 'text', text: 'Hi' }] },
      userMessage('What is 1 + 1?'),
    ])
    const conversationId = seeded.headers.get('x-conversation-id') ?? ''
    const [hello] = await storedIn(conversationId)
    const edited = { ...userMessage('Good day'), id: hello.id }
    t.match(await post([edited], { conversationId, messageId: hello.id }), {
      status: 400,
      body: { code: 'edit_unsupported' },
    })
    t.match(await post([{ ...hello }], { conversationId, trigger: 'regenerate-message' }), {
      status: 400,
      body: { code: 'regenerate_unsupported' },
    })
    t.equal((await storedIn(conversationId)).length, 4)
  })

  t.test('is told when another page has gone on with the conversation', async (t) => {
    const page: PageMessage[] = []
    const conversationId = conversationOf(await send(page, 'What is 1 + 1?'))
    const other = [...page]
    await send(other, 'What is 2 + 2?')
    const { status, body } = await post([...page, userMessage('What is 3 + 3?')])
    t.match({ status, body }, { status: 409, body: { code: 'conversation_changed' } })
    t.equal(body.headMessageId, other.at(-1)?.id)
    const alone = await post([userMessage('What is 3 + 3?')], { conversationId })
    t.equal(alone.status, 200, 'a page that sends its last message alone is believed')
  })

  t.test('goes on after questions without an answer, and tries again what was never stored', async (t) => {
    const page: PageMessage[] = []
    await send(page, 'What is 1 + 1?')
    // Stopped before its answer had begun: the page shows the question alone.
    await send(page, 'What is 2 + 2?')
    page.pop()
    t.equal((await send(page, 'What is 3 + 3?')).status, 200)
    // Its message was refused, and the page asks for the answer again, as the AI SDK's examples do.
    for (const extra of [{ trigger: 'regenerate-message' }, { messageId: 'kept' }]) {
      const again = await send(page, 'What is 4 + 4?', extra)
      t.equal(textOf(again.events), '4 + 4 = 8.')
    }
    const first = await send([], 'What is 5 + 5?', { trigger: 'regenerate-message' })
    t.equal(textOf(first.events), '5 + 5 = 10.', 'also the first message of a chat')
  })

  t.test('gets the same answer again with its key, though it has been overtaken since', async (t) => {
    const page: PageMessage[] = []
    await send(page, 'What is 1 + 1?')
    const other = [...page]
    const headers = { 'idempotency-key': 'page' }
    const first = await send(page, 'What is 2 + 2?', {}, { headers })
    const again = await send(other, 'What is 2 + 2?', {}, { headers })
    t.equal(again.headers.get('idempotency-replayed'), 'true')
    t.same(again.events, first.events)
  })

  t.test('gets the same answer again with its key, also to a question that it has asked again', async (t) => {
    const headers = { 'idempotency-key': 'again' }
    const regenerate = { id: 'chat-with-a-key', trigger: 'regenerate-message' }
    // Its first message was refused, so the first request is a start.
    const first = await send([], 'What is 2 + 2?', regenerate, { headers })
    const again = await send([], 'What is 2 + 2?', regenerate, { headers })
    t.equal(again.headers.get('x-run-id'), first.headers.get('x-run-id'))
    const key = { 'idempotency-key': 'once more' }
    const second = await send([], 'What is 2 + 2?', regenerate, { headers: key })
    t.not(second.headers.get('x-run-id'), first.headers.get('x-run-id'))
    t.equal(conversationOf(second), conversationOf(first))
    const replay = await send([], 'What is 2 + 2?', regenerate, { headers: key })
    t.equal(replay.headers.get('x-run-id'), second.headers.get('x-run-id'))
  })

  t.test(
    'is refused in a sentence for people where it asks for one, and other callers get the problem',
    async (t) => {
      const json = 'application/problem+json; charset=utf-8'
      const plain = 'text/plain; charset=utf-8'
      const unauthorised = { authorization: 'Bearer no' }
      const table: [string, string, string, Record<string, string>?][] = [
        ['POST', STREAM, json],
        ['POST', STREAM, json, { accept: '*/*' }],
        ['POST', STREAM, json, { accept: 'text/event-stream' }],
        ['POST', STREAM, json, { accept: 'application/json, text/plain, */*' }],
        ['POST', STREAM, json, { accept: 'text/plain, application/*+json, */*' }],
        ['POST', STREAM, plain, { accept: 'text/plain' }],
        ...['5', '6', '7'].map((ui): [string, string, string] => ['POST', `${STREAM}?ui=${ui}`, plain]),
        ['POST', `${STREAM}?ui=7`, json, { accept: 'application/problem+json' }],
        ['POST', `${STREAM}?ui=8`, json],
        ['POST', `${STREAM}?ui=6&ui=7`, json],
        ['GET', `${STREAM}/run_unknown/stream?ui=7`, plain],
        ['GET', '/api/agent/chat/run_unknown/stream?ui=7', plain],
        ['GET', '/api/agent/chat/run_unknown', json, { accept: 'text/plain' }],
        ['GET', '/api/agent/conversations?ui=7', json],
      ]
      for (const [method, path, type, headers = {}] of table) {
        const refused = await service.call(method, path, {
          headers,
          ...(method === 'POST' ? { body: { messages: [userMessage('Hi')], conversationId: FOREIGN } } : {}),
        })
        const name = `${method} ${path} ${JSON.stringify(headers)}`
        t.equal(refused.headers.get('content-type'), type, name)
        t.ok(refused.status >= 400 && refused.headers.get('x-request-id'), name)
        if (type === plain) t.match(refused.body, /^[A-Z][^{}]+\.$/, name)
        const early = await service.call(method, path, { headers: { ...headers, ...unauthorised } })
        t.equal(early.status, 401)
        t.equal(early.headers.get('content-type'), type, `${name} without a valid token`)
        if (type === plain) t.equal(early.body, 'Your session has ended. Sign in again.')
      }
    },
  )

  t.test('goes on with the conversation of a first message that failed', async (t) => {
    const blocked = await send([], '[[fail]]')
    const page: PageMessage[] = [{ ...userMessage('[[fail]]'), id: '0' }, answerOf(blocked)]
    const next = await send(page, 'What is 1 + 1?')
    t.equal(conversationOf(next), conversationOf(blocked))
  })
})
