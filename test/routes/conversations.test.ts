import t from 'tap'
import { encodeCursor } from '../../src/services/read/pagination.ts'
import { startService } from '../support/service.ts'

const UNKNOWN = '0198c5a2-7d3e-7b1a-9f00-3f2a1c4d5e6f'

t.test('conversations', async (t) => {
  const service = await startService(t)
  const { call } = service
  const start = (body: object, user?: string) =>
    call('POST', '/api/agent/chat', { body, ...(user === undefined ? {} : { user }) })
  const messagesOf = async (id: string) =>
    (await call('GET', `/api/agent/conversations/${id}/messages`)).body.data as Array<{
      role: string
      text: string
    }>

  t.test('are created, read, changed by merge patch and deleted', async (t) => {
    const created = await call('POST', '/api/agent/conversations', {
      body: { title: 'Arithmetic', metadata: { team: 'a', ticket: '1' } },
    })
    t.equal(created.status, 201)
    const { id } = created.body
    t.equal(created.headers.get('location'), `/api/agent/conversations/${id}`)
    t.match(created.body, { title: 'Arithmetic', metadata: { team: 'a', ticket: '1' }, activeRunId: null })
    t.same((await call('GET', `/api/agent/conversations/${id}`)).body, created.body)

    const patched = await call('PATCH', `/api/agent/conversations/${id}`, {
      body: { title: 'Sums', metadata: { ticket: null, area: 'x' } },
    })
    t.equal(patched.status, 200)
    t.same([patched.body.title, patched.body.metadata], ['Sums', { team: 'a', area: 'x' }])
    const emptied = await call('PATCH', `/api/agent/conversations/${id}`, { body: { metadata: null } })
    t.same([emptied.body.title, emptied.body.metadata], ['Sums', {}])

    t.equal((await call('DELETE', `/api/agent/conversations/${id}`)).status, 204)
    for (const method of ['GET', 'DELETE']) {
      t.match(await call(method, `/api/agent/conversations/${id}`), {
        status: 404,
        body: { code: 'conversation_not_found' },
      })
    }
  })

  t.test('carry 16 pairs of metadata at most, however many patches bring them', async (t) => {
    const pairs = (from: number, to: number) =>
      Object.fromEntries(Array.from({ length: to - from }, (_, i) => [`k${from + i}`, 'v']))
    const { id } = (await call('POST', '/api/agent/conversations', { body: { metadata: pairs(0, 10) } })).body
    const patch = (body: object) => call('PATCH', `/api/agent/conversations/${id}`, { body })
    const refused = await patch({ title: 'Not this one', metadata: pairs(10, 17) })
    t.match(refused, { status: 400, body: { code: 'invalid_request', errors: [{ path: '/metadata' }] } })
    const conversation = await call('GET', `/api/agent/conversations/${id}`)
    t.same(conversation.body.metadata, pairs(0, 10))
    t.not(conversation.body.title, 'Not this one', 'nothing of it was done')

    // Each of them fits alone.
    const answers = await Promise.all(
      [10, 16, 22, 28].map((from) => patch({ metadata: pairs(from, from + 6) })),
    )
    t.same(answers.map(({ status }) => status).sort(), [200, 400, 400, 400])
    t.equal((await patch({ metadata: { k0: null, other: 'v' } })).status, 200, 'one goes, one comes')
    t.equal((await patch({ title: 'Full' })).body.title, 'Full')
    t.same((await patch({ metadata: null })).body.metadata, {})
  })

  t.test(
    'keep every name and value of metadata that fits, and say what does not fit about a name',
    async (t) => {
      const metadata = {
        ['😀'.repeat(255)]: '😀'.repeat(255),
        constructor: 'c',
        'a[b].c': '',
        ['\n'.repeat(255)]: 'n',
      }
      const created = await call('POST', '/api/agent/conversations', { body: { metadata } })
      t.same(created.body.metadata, metadata)
      const listed = await call('GET', '/api/agent/conversations?limit=1')
      t.same(listed.body.data[0].metadata, metadata)
      const long = 'k'.repeat(256)
      for (const refused of [
        call('POST', '/api/agent/conversations', { body: { metadata: { '': 'v', [long]: 'v' } } }),
        call('PATCH', `/api/agent/conversations/${created.body.id}`, {
          body: { metadata: { '': 'v', [long]: null } },
        }),
      ]) {
        t.same((await refused).body.errors, [
          { path: '/metadata/', message: 'as a name must not be empty' },
          { path: `/metadata/${long}`, message: 'as a name must have at most 255 characters' },
        ])
      }
    },
  )

  t.test('may change all their pairs in one patch', async (t) => {
    const pairs = (prefix: string, value: string | null) =>
      Object.fromEntries(Array.from({ length: 16 }, (_, i) => [`${prefix}${i}`, value]))
    const { id } = (await call('POST', '/api/agent/conversations', { body: { metadata: pairs('old', 'v') } }))
      .body
    const patched = await call('PATCH', `/api/agent/conversations/${id}`, {
      body: { metadata: { ...pairs('old', null), ...pairs('new', 'v') } },
    })
    t.same(patched.body.metadata, pairs('new', 'v'))
  })

  t.test('refuse bad titles, metadata and unknown fields with every fault', async (t) => {
    const long = await call('POST', '/api/agent/conversations', {
      body: { title: 'x'.repeat(201), metadata: { a: 1 }, colour: 'red' },
    })
    t.equal(long.status, 400)
    t.same(long.body.errors.map((fault: { path: string }) => fault.path).sort(), [
      '/colour',
      '/metadata/a',
      '/title',
    ])
    const many = Object.fromEntries(Array.from({ length: 17 }, (_, i) => [`k${i}`, 'v']))
    t.equal((await call('POST', '/api/agent/conversations', { body: { metadata: many } })).status, 400)
    t.equal((await call('POST', '/api/agent/conversations', { body: { title: '' } })).status, 400)
    t.equal((await call('POST', '/api/agent/conversations', { body: { title: ' ' } })).status, 400)
  })

  t.test('take the first 100 code points of the message as title, line breaks as spaces', async (t) => {
    const message = `${'é'.repeat(98)}\n😀 and more`
    const { body } = await start({ message })
    const { title } = (await call('GET', `/api/agent/conversations/${body.conversationId}`)).body
    t.equal(title, `${'é'.repeat(98)} 😀`)
    t.equal([...title].length, 100)
    await service.ended(body.runId)
  })

  t.test('find a title in any message that may be sent, however many blanks it has', async (t) => {
    for (const [message, title] of [
      [`x${' '.repeat(99_990)}y`, `x${' '.repeat(99)}`],
      [`${' '.repeat(99_999)}y`, 'y'],
      [' \r\nfirst\r\n\nlast\u2028', '  first  last '],
      ['😀'.repeat(101), '😀'.repeat(100)],
    ] as const) {
      const { body } = await start({ message })
      const conversation = await call('GET', `/api/agent/conversations/${body.conversationId}`)
      t.equal(conversation.body.title, title)
      await service.ended(body.runId)
    }
  })

  t.test('store the history of a request that creates them, and ignore it when they exist', async (t) => {
    const history = [
      { role: 'user', content: 'My name is Ada.' },
      { role: 'assistant', content: 'Hello Ada.' },
    ]
    const first = await start({ message: 'What was my first question?', history })
    const answer = await service.ended(first.body.runId)
    t.match(answer.body.text, /My name is Ada/)
    const { conversationId } = first.body
    const other = [{ role: 'user', content: 'My name is Bob.' }]
    const second = await start({ message: 'What was my first question?', history: other, conversationId })
    t.match((await service.ended(second.body.runId)).body.text, /My name is Ada/)
    t.same(
      (await messagesOf(conversationId)).map(({ role, text }) => [role, text]),
      [
        ['user', 'My name is Ada.'],
        ['assistant', 'Hello Ada.'],
        ['user', 'What was my first question?'],
        ['assistant', answer.body.text],
        ['user', 'What was my first question?'],
        ['assistant', answer.body.text],
      ],
    )
  })

  t.test('are listed newest activity first, page by page, and a cursor fits only its own list', async (t) => {
    const user = 'pages'
    const ids: string[] = []
    for (let i = 0; i < 5; i += 1) {
      ids.unshift(
        (await call('POST', '/api/agent/conversations', { user, body: { title: `c${i}` } })).body.id,
      )
    }
    const seen: string[] = []
    let cursor = ''
    do {
      const page = await call('GET', `/api/agent/conversations?limit=2${cursor && `&cursor=${cursor}`}`, {
        user,
      })
      seen.push(...page.body.data.map((one: { id: string }) => one.id))
      t.equal(page.body.hasMore, page.body.nextCursor !== null)
      cursor = page.body.nextCursor ?? ''
    } while (cursor !== '')
    t.same(seen, ids)

    const page = await call('GET', '/api/agent/conversations?limit=2', { user })
    const foreign = encodeURIComponent(page.body.nextCursor)
    for (const path of [
      `/api/agent/conversations/${ids[0]}/messages?cursor=${foreign}`,
      `/api/agent/chat?cursor=${foreign}`,
      '/api/agent/conversations?cursor=abc',
      '/api/agent/conversations?cursor=WyJhIl0',
    ]) {
      t.match(await call('GET', path, { user }), { status: 400, body: { code: 'invalid_cursor' } }, path)
    }
    for (const changed of [`${foreign}A`, `${foreign}!`, `${foreign}=`]) {
      t.equal(
        (await call('GET', `/api/agent/conversations?cursor=${changed}`, { user })).status,
        400,
        changed,
      )
    }
    for (const limit of ['0', '101', 'ten', '1.5', '']) {
      t.match(await call('GET', `/api/agent/conversations?limit=${limit}`, { user }), {
        status: 400,
        body: { errors: [{ path: '/limit', in: 'query' }] },
      })
    }
  })

  t.test('take no cursor that was made up, though it fits the list in every other way', async (t) => {
    const { id } = (await call('POST', '/api/agent/conversations', { body: {} })).body
    const lists: Array<{ path: string; filters: unknown; key: string[]; wrong: string[][] }> = [
      {
        path: '/api/agent/conversations',
        filters: 'conversations',
        key: ['2026-01-01T00:00:00.000Z', UNKNOWN],
        wrong: [
          [],
          ['yesterday', UNKNOWN],
          ['2026-02-31T00:00:00.000Z', UNKNOWN],
          ['+275760-09-13T00:00:00.000Z', UNKNOWN],
          ['-271821-04-20T00:00:00.000Z', UNKNOWN],
          ['2026-01-01T00:00:00.000Z', 'x'],
          ['2026-01-01T00:00:00.000Z'],
          ['2026-01-01T00:00:00.000Z', UNKNOWN, UNKNOWN],
        ],
      },
      {
        path: `/api/agent/conversations/${id}/messages`,
        filters: ['messages', id],
        key: ['1', '2'],
        wrong: [['1'], ['1', 'x'], ['1', '2147483648'], ['1e9', '0'], ['-1', '0'], ['NaN', '0'], ['', '']],
      },
      { path: '/api/agent/chat', filters: {}, key: [UNKNOWN], wrong: [['1'], [`${UNKNOWN}0`], ['\0'], []] },
    ]
    for (const { path, filters, key, wrong } of lists) {
      const list = (own: string[]) => call('GET', `${path}?cursor=${encodeCursor(own, filters)}`)
      t.equal((await list(key)).status, 200, path)
      for (const own of wrong)
        t.match(await list(own), { status: 400, body: { code: 'invalid_cursor' } }, `${path} ${own}`)
    }
  })

  t.test('list messages in conversation order, page by page', async (t) => {
    const history = Array.from({ length: 6 }, (_, i) => ({
      role: i % 2 === 0 ? 'user' : 'assistant',
      content: `m${i}`,
    }))
    const { body } = await start({ message: 'hello', history })
    await service.ended(body.runId)
    const seen: string[] = []
    let cursor = ''
    do {
      const page = await call(
        'GET',
        `/api/agent/conversations/${body.conversationId}/messages?limit=3${cursor && `&cursor=${cursor}`}`,
      )
      seen.push(...page.body.data.map((one: { text: string }) => one.text))
      cursor = page.body.nextCursor ?? ''
    } while (cursor !== '')
    t.same(seen.slice(0, 7), ['m0', 'm1', 'm2', 'm3', 'm4', 'm5', 'hello'])
    t.equal(seen.length, 8)
  })

  t.test('show a failed run as a message, with its error, that pages can begin with', async (t) => {
    const silent = await start({ message: '[[fail]]' })
    const { conversationId } = silent.body
    const run = (await service.ended(silent.body.runId)).body
    t.equal(run.text, '')
    const partial = await start({ message: '[[fail-after:5]] Tell me a story', conversationId })
    const failed = (await service.ended(partial.body.runId)).body
    const last = await start({ message: 'What was my first question?', conversationId })
    const answer = (await service.ended(last.body.runId)).body
    t.match(answer.text, /fail/)

    const path = `/api/agent/conversations/${conversationId}/messages`
    const { body } = await call('GET', path)
    const shown = body.data.map(({ role, status, text }: Record<string, string>) => [role, status, text])
    t.same(shown, [
      ['user', 'complete', '[[fail]]'],
      ['assistant', 'failed', ''],
      ['user', 'complete', '[[fail-after:5]] Tell me a story'],
      ['assistant', 'failed', failed.text],
      ['user', 'complete', 'What was my first question?'],
      ['assistant', 'complete', answer.text],
    ])
    for (const [place, { runId, error, errorCode }] of [
      [1, run],
      [3, failed],
    ] as const) {
      const failure = { status: 'failed', error, errorCode, runId }
      t.match(body.data[place], { ...failure, metadata: { ...failure, conversationId } })
    }
    t.same(body.data[1].parts, [{ type: 'step-start' }], 'valid as a UIMessage, which wants a part')
    t.match(body.data[1].id, /^[\da-f-]{36}$/)
    t.same(body.data[5].metadata, { conversationId, runId: answer.runId, finishReason: 'stop' })
    t.notOk('error' in body.data[5])

    for (const order of ['asc', 'desc']) {
      const all = order === 'asc' ? body.data : body.data.toReversed()
      for (const limit of [1, 2, 3, 5, 6]) {
        const seen: unknown[] = []
        let cursor = ''
        do {
          const query = `order=${order}&limit=${limit}${cursor && `&cursor=${cursor}`}`
          const page = (await call('GET', `${path}?${query}`)).body
          t.ok(page.data.length <= limit)
          seen.push(...page.data)
          cursor = page.nextCursor ?? ''
        } while (cursor !== '')
        t.same(seen, all, `${order}, ${limit} a page`)
      }
    }
  })

  t.test('list messages newest first too, and a cursor fits only its order', async (t) => {
    const history = [
      { role: 'user', content: 'm0' },
      { role: 'assistant', content: 'm1' },
    ]
    const { body } = await start({ message: 'hello', history })
    const { text } = (await service.ended(body.runId)).body
    const path = `/api/agent/conversations/${body.conversationId}/messages`
    const newest = await call('GET', `${path}?order=desc&limit=3`)
    t.same(
      newest.body.data.map((one: { text: string }) => one.text),
      [text, 'hello', 'm1'],
    )
    t.same(newest.body.data[2].metadata, { conversationId: body.conversationId }, 'seeded, of no run')
    const oldest = await call('GET', `${path}?limit=3`)
    for (const [cursor, order] of [
      [newest.body.nextCursor, 'asc'],
      [oldest.body.nextCursor, 'desc'],
    ])
      t.match(await call('GET', `${path}?order=${order}&cursor=${cursor}`), {
        status: 400,
        body: { code: 'invalid_cursor' },
      })
    t.match((await call('GET', `${path}?order=newest`)).body, { errors: [{ in: 'query', path: '/order' }] })
  })

  t.test('of another user answer exactly like unknown ones, apart from the request id', async (t) => {
    const { body } = await start({ message: 'mine' }, 'owner')
    await service.ended(body.runId, 'owner')
    const requests: Array<[string, string, object?]> = [
      ['GET', ''],
      ['PATCH', '', { title: 'x' }],
      ['GET', '/messages'],
      ['DELETE', ''],
    ]
    const said = async (method: string, path: string, id: string, patch?: object) => {
      const answer = await call(method, path, patch === undefined ? {} : { body: patch })
      const { requestId, ...rest } = answer.body
      t.type(requestId, 'string')
      const headers = Object.fromEntries(answer.headers)
      t.equal(headers['x-request-id'], requestId)
      // The parts that differ between any two answers.
      for (const name of ['x-request-id', 'ratelimit', 'date']) delete headers[name]
      return { status: answer.status, headers, body: JSON.parse(JSON.stringify(rest).replaceAll(id, 'ID')) }
    }
    for (const [method, suffix, patch] of requests) {
      const foreign = await said(
        method,
        `/api/agent/conversations/${body.conversationId}${suffix}`,
        body.conversationId,
        patch,
      )
      const unknown = await said(method, `/api/agent/conversations/${UNKNOWN}${suffix}`, UNKNOWN, patch)
      t.equal(foreign.status, 404)
      t.same(foreign, unknown, `${method} …${suffix}`)
    }
    // As long as the other, or `content-length` would tell them apart.
    const unknownRun = `run_${'x'.repeat(body.runId.length - 4)}`
    for (const [method, suffix] of [
      ['GET', ''],
      ['GET', '/stream'],
      ['POST', '/cancel'],
    ] as const) {
      const foreign = await said(method, `/api/agent/chat/${body.runId}${suffix}`, body.runId)
      const unknown = await said(method, `/api/agent/chat/${unknownRun}${suffix}`, unknownRun)
      t.equal(foreign.status, 404)
      t.same(foreign, unknown, `${method} run${suffix}`)
    }
    for (const path of ['/api/agent/chat', '/api/agent/chat/sync']) {
      const turn = (conversationId: string) =>
        said('POST', path, conversationId, { message: 'hi', conversationId })
      const foreign = await turn(body.conversationId)
      t.equal(foreign.status, 404)
      t.same(foreign, await turn(UNKNOWN), `POST ${path}`)
    }
  })

  t.test(
    'accept the nil and the max uuid as ids, which no conversation has, and refuse any text that is no uuid',
    async (t) => {
      for (const id of [
        '00000000-0000-0000-0000-000000000000',
        'ffffffff-ffff-ffff-ffff-ffffffffffff',
        UNKNOWN.toUpperCase(),
      ]) {
        t.match(await call('GET', `/api/agent/conversations/${id}`), {
          status: 404,
          body: { code: 'conversation_not_found' },
        })
        t.match(await start({ message: 'hi', conversationId: id }), {
          status: 404,
          body: { code: 'conversation_not_found' },
        })
      }
      for (const id of [
        '1',
        `${UNKNOWN}0`,
        'ffffffff-ffff-ffff-ffff-fffffffffff',
        '0198c5a2-7d3e-9b1a-9f00-3f2a1c4d5e6f',
      ]) {
        t.match(await call('GET', `/api/agent/conversations/${id}`), {
          status: 400,
          body: { errors: [{ in: 'path', path: '/id' }] },
        })
        t.match(await start({ message: 'hi', conversationId: id }), {
          status: 400,
          body: { errors: [{ path: '/conversationId' }] },
        })
      }
    },
  )

  t.test('that are deleted take their runs with them and cancel the active one', async (t) => {
    const { body } = await start({ message: 'Tell me a story of 2000 sentences' })
    const { runId, conversationId } = body
    t.equal((await call('GET', `/api/agent/conversations/${conversationId}`)).body.activeRunId, runId)
    t.equal((await call('DELETE', `/api/agent/conversations/${conversationId}`)).status, 204)
    t.match(await call('GET', `/api/agent/chat/${runId}`), { status: 404, body: { code: 'run_not_found' } })
    const runs = await call('GET', `/api/agent/chat?runId=${runId}`)
    t.same(runs.body.data, [])
    for (;;) {
      const [row] = await service.app.database.named<{ status: string; input: unknown; output: unknown }>(
        'test_deleted',
        'select runs.status, turns.input, runs.output from runs join turns on turns.id = runs.turn_id where runs.run_id = $1',
        [runId],
      )
      if (row?.status !== 'cancelled') continue
      t.same([row.input, row.output], [null, null], 'nothing of the contents is left')
      break
    }
  })
})

t.test('a conversation says when it expires, where conversations do', async (t) => {
  const service = await startService(t, { environment: { CONVERSATION_RETENTION_DAYS: '30' } })
  const { body } = await service.call('POST', '/api/agent/conversations', { body: {} })
  t.equal(Date.parse(body.expiresAt) - Date.parse(body.lastActivityAt), 30 * 86_400_000)
  t.equal(body.title, 'New conversation')
  const { runId } = (
    await service.call('POST', '/api/agent/chat', {
      body: { message: 'Call me Ada.', conversationId: body.id },
    })
  ).body
  await service.ended(runId)
  const { body: titled } = await service.call('GET', `/api/agent/conversations/${body.id}`)
  t.equal(titled.title, 'Call me Ada.', 'the first message names a conversation that has no title')
})
