import { request as httpRequest } from 'node:http'
import { runs, streams } from '@trigger.dev/sdk'
import t from 'tap'
import { began, ended, readAll, runToEnd, start, unique } from './conformance/suite.ts'
import { openEngine, request } from './helper.ts'

type Batch = { records: { seq_num: number; body: string }[]; tail: { seq_num: number } }

t.test('with the default switches', async (t) => {
  const engine = await openEngine(t)
  const api = (path: string, init?: RequestInit) => request(`${engine.url}${path}`, init)
  const post = (path: string, body: string, headers: Record<string, string> = {}) =>
    api(path, { method: 'POST', body, headers })

  t.test(
    'an endpoint that the engine lacks is 501 with its name, a method that an endpoint lacks is 405',
    async (t) => {
      t.match(await api('/api/v1/schedules?page=1'), {
        status: 501,
        body: { error: 'The local engine does not implement GET /api/v1/schedules' },
      })
      t.match(await api('/api/v1/tasks/echo/trigger'), { status: 405, text: '' })
      t.match(await api('/realtime/v1/runs', { method: 'DELETE' }), { status: 405 })
    },
  )

  t.test('callers without the key are refused, each in the words of the real server', async (t) => {
    const none = await fetch(`${engine.url}/api/v3/runs/run_x`)
    t.match(await none.json(), {
      title: 'Unauthorized',
      status: 401,
      error: 'No authorization header provided',
    })
    for (const token of ['tr_dev_wrong', '', 'Bearer', 'ey.ey.ey', `${'x'.repeat(5000)}`]) {
      const headers = { authorization: `Bearer ${token}` }
      const { status, body } = await api('/api/v1/runs', { headers })
      t.equal(status, 401, token.slice(0, 20))
      t.match(body, { error: 'Invalid API key' })
    }
  })

  t.test('bodies that are no trigger request are refused', async (t) => {
    const trigger = (body: string, type = 'application/json') =>
      post('/api/v1/tasks/echo/trigger', body, { 'content-type': type })
    t.match(await trigger('{not json'), { status: 400, body: { error: 'Invalid JSON' } })
    t.match(await trigger('a=b', 'application/x-www-form-urlencoded'), {
      status: 400,
      body: { error: 'Invalid JSON' },
    })
    t.match(await trigger('{"options":{"queue":12}}'), {
      status: 400,
      body: { error: /^Validation error: .*options.queue/ },
    })
    t.match(await trigger('{"options":{"ttl":"soon"}}'), { status: 422, body: { error: /soon/ } })
    t.match(await trigger('{"options":{"delay":"later"}}'), { status: 422, body: { error: /later/ } })
    t.match(await trigger(JSON.stringify({ payload: 'x'.repeat(4_000_000) })), {
      status: 413,
      body: { error: 'Request body too large' },
    })
    t.match(await trigger('{}'), { status: 200 }, 'and the connection still works')
  })

  t.test('a trigger request with nonsense fails its own run at most', async (t) => {
    const trigger = async (body: object) => post('/api/v1/tasks/echo/trigger', JSON.stringify(body))
    const bodies = [
      { payload: 'no json', options: { payloadType: 'application/json' } },
      { payload: 'no json', options: { payloadType: 'application/super+json' } },
      { payload: 'null', options: { payloadType: 'application/super+json' } },
      { payload: 'x', options: { payloadType: 'application/store' } },
      { payload: 'x', options: { payloadType: 'text/unheard-of' } },
      { payload: { __proto__: { polluted: true }, constructor: 1 }, options: { concurrencyKey: '\0' } },
      { payload: 1, options: { metadata: { deep: { __proto__: 1 } }, maxDuration: -1, maxAttempts: -1 } },
    ]
    for (const body of bodies) {
      const { status, body: answer } = await trigger(body)
      t.equal(status, 200, JSON.stringify(body))
      const { status: end } = await ended((answer as { id: string }).id)
      t.match(end, /COMPLETED|FAILED/, JSON.stringify(body))
    }
    t.match(await trigger({ options: { metadata: '{broken' } }), { status: 400 })
    t.match(await trigger({ options: { metadata: [1] } }), { status: 400 })
    t.match(await trigger({ options: { tags: Array.from({ length: 11 }, (_, n) => `tag${n}`) } }), {
      status: 422,
    })
    t.match(await api('/api/v1/runs?page[after]=rubbish'), { status: 400 })
    t.match(await api('/api/v1/runs?filter[createdAt][period]=long'), { status: 400 })
  })

  t.test('readers get numbered records in batches, and can begin after any of them', async (t) => {
    const { id } = await runToEnd('writer', { count: 3 })
    const read = async (headers: Record<string, string> = {}) => {
      const answer = await api(`/realtime/v1/streams/${id}/words`, { headers })
      t.match(answer, { status: 200 })
      t.equal(answer.headers.get('x-stream-version'), 'v2')
      const batches = answer.text.match(/(?<=event: batch\ndata: ).*/g) ?? []
      return batches.flatMap((data) => (JSON.parse(data) as Batch).records)
    }
    const records = await read()
    t.same(
      records.map(({ seq_num }) => seq_num),
      [0, 1, 2],
    )
    t.same(
      records.map(({ body }) => JSON.parse(body).data),
      [{ n: 0 }, { n: 1 }, { n: 2 }],
    )
    t.equal(new Set(records.map(({ body }) => JSON.parse(body).id)).size, 3)
    t.same(
      (await read({ 'last-event-id': '1' })).map(({ seq_num }) => seq_num),
      [2],
    )
    t.same(await read({ 'x-trigger-stream-start': 'latest' }), [])
    t.match(await api(`/realtime/v1/streams/${id}/words`, { headers: { 'timeout-seconds': '0' } }), {
      status: 400,
    })
  })

  t.test(
    'a writer that lost its connection goes on at its last chunk, without loss or repetition',
    async (t) => {
      const id = await start('patient', { ms: 60_000 })
      await began(id)
      const path = `/realtime/v1/streams/${id}/self/lines`
      t.match(await api(path, { method: 'PUT' }), { status: 202, body: { version: 'v1' } })
      const lines = (from: number, to: number) =>
        Array.from({ length: to - from }, (_, n) => `{"n":${from + n}}\n`).join('')
      const headers = { 'x-client-id': 'abc', 'x-resume-from-chunk': '0' }

      await cutOff(`${engine.url}${path}`, headers, lines(0, 3))
      const head = await api(path, { method: 'HEAD', headers: { 'x-client-id': 'abc' } })
      t.equal(head.headers.get('x-last-chunk-index'), '2')
      await post(path, lines(2, 5), { ...headers, 'x-resume-from-chunk': '2' })
      const other = await api(path, { method: 'HEAD', headers: { 'x-client-id': 'another' } })
      t.equal(other.headers.get('x-last-chunk-index'), '-1')

      t.match(await post(`${path}/append`, '{"as":"text"}'), { status: 200, body: { ok: true } })
      await post(path, 'this is no JSON\n\n"last"')
      await runs.cancel(id)
      const seen = []
      for await (const chunk of await streams.read(id, 'lines')) seen.push(chunk)
      t.same(seen, [...[0, 1, 2, 3, 4].map((n) => ({ n })), '{"as":"text"}', 'this is no JSON', 'last'])
      await ended(id)
      t.match(await post(`${path}/append`, 'late'), { status: 400 })
      t.match(await api(path, { method: 'PUT' }), { status: 400 })
    },
  )

  t.test('presigned URLs are good for one packet and one method', async (t) => {
    const { body } = await api('/api/v2/packets/trigger%2Fpacket_1%2Fpayload.txt', { method: 'PUT' })
    const { presignedUrl, storagePath } = body as { presignedUrl: string; storagePath: string }
    t.equal(storagePath, 'trigger/packet_1/payload.txt')
    const put = await fetch(presignedUrl, {
      method: 'PUT',
      body: 'hello',
      headers: { 'content-type': 'text/plain' },
    })
    t.equal(put.status, 200)
    t.equal((await fetch(presignedUrl)).status, 403, 'not to read with the URL for writing')
    const get = await api('/api/v1/packets/trigger%2Fpacket_1%2Fpayload.txt')
    const url = (get.body as { presignedUrl: string }).presignedUrl
    t.equal(await (await fetch(url)).text(), 'hello')
    t.equal((await fetch(url.replace('packet_1', 'packet_2'))).status, 403)
    t.equal((await fetch(url.replace(/signature=./, 'signature=Z'))).status, 403)
    t.equal((await fetch(url.replace(/expires=\d+/, 'expires=1'))).status, 403)
  })

  t.test('tags and metadata can be changed from outside', async (t) => {
    const { id } = await runToEnd('echo', 1, { tags: ['one'] })
    const tags = JSON.stringify({ tags: ['one', 'two'] })
    t.match(await post(`/api/v1/runs/${id}/tags`, tags), {
      body: { message: 'Successfully set 1 new tags.' },
    })
    t.match(await post(`/api/v1/runs/${id}/tags`, tags), { body: { message: 'No new tags to add' } })
    t.same((await runs.retrieve(id)).tags, ['one', 'two'])
    const many = JSON.stringify({ tags: Array.from({ length: 11 }, (_, n) => `tag${n}`) })
    t.match(await post(`/api/v1/runs/${id}/tags`, many), { status: 422 })
  })

  t.test('metadata from outside: too much of it is refused, and changes nothing', async (t) => {
    const id = await start('patient', { ms: 60_000 })
    const put = (value: string) => {
      const operations = [{ type: 'set', key: 'text', value }]
      return api(`/api/v1/runs/${id}/metadata`, { method: 'PUT', body: JSON.stringify({ operations }) })
    }
    t.match(await put('fits'), { status: 200, body: { metadata: { text: 'fits' } } })
    t.match(await put('x'.repeat(257 * 1024)), { status: 413, body: { error: /maximum size of 262144/ } })
    t.same((await runs.retrieve(id)).metadata, { text: 'fits' })
    await runs.cancel(id)
  })

  t.test('a list can be filtered by test runs, and a filter that the engine lacks is refused', async (t) => {
    const body = (test: boolean) => JSON.stringify({ options: { test, tags: ['of-filters'] } })
    const { id } = (await post('/api/v1/tasks/echo/trigger', body(true))).body as { id: string }
    const { id: other } = (await post('/api/v1/tasks/echo/trigger', body(false))).body as { id: string }
    const list = (filter: string) => api(`/api/v1/runs?filter[tag]=of-filters&${filter}`)
    const idsOf = async (filter: string) =>
      ((await list(filter)).body as { data: { id: string }[] }).data.map((run) => run.id)
    t.same(await idsOf('filter[isTest]=true'), [id])
    t.same(await idsOf('filter[isTest]=false'), [other])
    t.same(await idsOf('filter[isTest]='), [other, id])
    t.match(await list('filter[isTest]=perhaps'), { status: 400, body: { error: 'Query Error' } })
    t.match(await list('filter[status]=DONE,COMPLETED'), {
      status: 400,
      body: { details: [{ message: 'Invalid status values: DONE' }] },
    })
    for (const name of ['batch', 'schedule', 'bulkAction', 'machine', 'region']) {
      const error = `The local engine does not implement filter[${name}] of GET /api/v1/runs`
      t.match(await list(`filter[${name}]=x`), { status: 501, body: { error } })
    }
  })

  t.test('a subscriber to the feed of an earlier start is told to begin anew', async (t) => {
    const tag = unique()
    await runToEnd('echo', 1, { tags: tag })
    const path = `/realtime/v1/runs?tags=${tag}&log=full`
    for (const place of [
      '&offset=0_1&handle=runs_of_another&live=true',
      '&offset=0_99999999',
      '&offset=rubbish',
    ]) {
      const { status, body } = await api(`${path}${place}`)
      t.equal(status, 409, place)
      t.same(body, [{ headers: { control: 'must-refetch' } }])
    }
    const { status, body, headers } = await api(`${path}&offset=-1&skipColumns=payload,output,status`)
    t.equal(status, 200)
    t.match(headers.get('electric-handle'), /^runs_/)
    t.notMatch(headers.get('electric-schema'), /"payload"/)
    t.match(body, [
      { value: { status: 'COMPLETED_SUCCESSFULLY', payload: undefined }, headers: { operation: 'insert' } },
      { headers: { control: 'up-to-date' } },
    ])
    t.match(await api(`/realtime/v1/runs?tags=${tag}&createdAt=never&offset=-1`), { status: 400 })
  })
})

t.test('with the switches of a server without S2 and object store, and with limits', async (t) => {
  const rateLimit = { bucket: 300, refill: 300, intervalMs: 60_000 }
  const engine = await openEngine(t, {
    switches: { streams: 'redis', objectStore: false, enforceRateLimit: true, rateLimit },
  })
  // The SDK tries its upload for ten seconds before it gives up.
  const bulky = await start('bulky', { bytes: 200 * 1024 })
  const read = (id: string, headers: Record<string, string> = {}) =>
    request(`${engine.url}/realtime/v1/streams/${id}/words`, {
      headers: { 'timeout-seconds': '1', ...headers },
    })
  const write = (id: string, body: string, headers: Record<string, string> = {}) =>
    request(`${engine.url}/realtime/v1/streams/${id}/self/words`, { method: 'POST', body, headers })

  t.test('the lines of one write share an id, and silence ends the reading, not the run', async (t) => {
    const id = await start('patient', { ms: 60_000 })
    await began(id)
    await write(id, '"a"\n"b"\n')
    const { text, headers } = await read(id)
    t.equal(headers.get('x-stream-version'), null)
    const frames = [...text.matchAll(/id: (\d+-\d+)\ndata: (.*)\n\n/g)].map(([, entry, data]) => ({
      entry,
      data,
    }))
    t.same(
      frames.map(({ data }) => data),
      ['"began"', '"a"', '"b"'],
    )
    t.equal(frames[1]?.entry, frames[2]?.entry)
    t.not(frames[0]?.entry, frames[1]?.entry)
    const rest = await read(id, { 'last-event-id': frames[0]?.entry ?? '' })
    t.match(rest.text, /^id: \S+\ndata: "a"/)
    t.match((await read(id, { 'last-event-id': '1' })).text, /"began"/, 'a number is an entry older than all')
    await runs.cancel(id)
  })

  t.test('each write counts as one chunk, and a repeated write is there twice', async (t) => {
    const id = await start('patient', { ms: 60_000 })
    await began(id)
    const lines = (body: string, resume?: number) =>
      write(id, body, {
        'x-client-id': 'c1',
        ...(resume !== undefined && { 'x-resume-from-chunk': String(resume) }),
      })
    const last = async () => {
      const headers = { 'x-client-id': 'c1' }
      const path = `/realtime/v1/streams/${id}/self/words`
      return (await request(`${engine.url}${path}`, { method: 'HEAD', headers })).headers.get(
        'x-last-chunk-index',
      )
    }
    t.equal(await last(), '-1')
    await lines('1\n2\n')
    t.equal(await last(), '0')
    await lines('1\n2\n')
    t.equal(await last(), '0', 'counted anew without a place to resume at')
    await lines('3\n4', 1)
    t.equal(await last(), '1')
    t.same([...(await read(id)).text.matchAll(/data: (.*)/g)].map(([, data]) => data).slice(1), [
      ...['1', '2', '1', '2'],
      ...['3', '4'],
    ])
    await runs.cancel(id)
  })

  t.test('a thousand writes are kept', async (t) => {
    const id = await start('patient', { ms: 60_000 })
    await began(id)
    for (let n = 0; n < 1005; n++) await write(id, `${n}\n"also ${n}"\n`)
    const data = [...(await read(id)).text.matchAll(/data: (.*)/g)].map(([, line]) => line)
    t.equal(data.length, 2000)
    t.same(data.slice(0, 2), ['5', '"also 5"'])
    t.equal(data.at(-1), '"also 1004"')
    await runs.cancel(id)
  })

  t.test('large payloads are refused, large outputs fail', async (t) => {
    t.match(await request(`${engine.url}/api/v2/packets/x`, { method: 'PUT' }), { status: 500 })
    t.match(await request(`${engine.url}/api/v1/packets/x`), { status: 500 })
    t.match(await ended(bulky), { status: 'FAILED', error: { message: /./ } })
  })

  t.test('a reader that names an index begins at the start', async (t) => {
    const { id } = await runToEnd('writer', { count: 3 })
    t.same(await readAll(id, 1, { startIndex: 2 }), [{ n: 0 }])
  })

  t.test('every answer names the limit, and a request beyond it is 429', async (t) => {
    const { headers } = await request(`${engine.url}/api/v1/runs`)
    t.equal(headers.get('x-ratelimit-limit'), '300')
    const remaining = Number(headers.get('x-ratelimit-remaining'))
    t.ok(remaining > 0 && remaining < 300)
    t.ok(Number(headers.get('x-ratelimit-reset')) > Date.now())
    for (let n = 0; n < remaining; n++) await request(`${engine.url}/api/v1/runs?page[size]=1`)
    const limited = await request(`${engine.url}/api/v1/runs`)
    t.match(limited, {
      status: 429,
      body: { title: 'Rate Limit Exceeded', status: 429, remaining: 0, limit: 300 },
    })
    t.equal(limited.headers.get('x-ratelimit-remaining'), '0')
  })
})

/** Sends the beginning of a body, waits until it is there, and cuts the connection. */
function cutOff(url: string, headers: Record<string, string>, body: string): Promise<void> {
  return new Promise((resolve) => {
    const authorization = 'Bearer tr_dev_engine_test'
    const outgoing = httpRequest(url, { method: 'POST', headers: { ...headers, authorization } })
    outgoing.on('error', () => resolve())
    outgoing.on('close', () => resolve())
    outgoing.write(body, () => setTimeout(() => outgoing.destroy(), 50))
  })
}
