import { readFileSync } from 'node:fs'
import { test } from 'tap'
import { openStream } from '../streams/sse.ts'
import { startReceiver, webhookSettings } from '../support/receiver.ts'
import { startService } from '../support/service.ts'
import { snippetsOf } from './guide.ts'

/** The only code in this language that a guide shows. */
function illustration(document: string, language: string): string {
  const [found, ...more] = snippetsOf(document, [language])
  if (found === undefined || more.length > 0) throw new Error(`${document} has not one ${language}`)
  return found.code
}

/** The paths of all values in an object. */
function keysOf(value: unknown, path = ''): string[] {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return [path]
  return Object.entries(value)
    .flatMap(([key, inner]) => keysOf(inner, `${path}.${key}`))
    .toSorted()
}

test('the start, the delivery and the event of the guide for callers are those of the service', async (t) => {
  const receiver = await startReceiver(t)
  const service = await startService(t, { environment: webhookSettings([], [receiver.origin]) })
  const feed = await openStream(service, '/api/agent/events')

  const start = JSON.parse(illustration('docs/callers.md', 'json'))
  t.same(keysOf(start), ['.message', '.webhook.url'])
  const { pathname, search } = new URL(start.webhook.url)
  const more = { message: 'What is 2 + 3?', metadata: { ticket: 'T-1042' } }
  const { status, body } = await service.call('POST', '/api/agent/chat', {
    body: { ...start, ...more, webhook: { url: receiver.origin + pathname + search } },
  })
  t.equal(status, 202)

  const [head = '', text = ''] = illustration('docs/callers.md', 'http').split('\n\n')
  const [line, ...headers] = head.split('\n')
  const [delivery] = await receiver.until(({ length }) => length > 0)
  t.equal(line, `POST ${delivery?.path} HTTP/1.1`)
  // Ids, times and signatures differ in their letters and digits, and in nothing else.
  const shape = (header: string | undefined) => header?.replaceAll(/[\w+/=-]+/g, 'x')
  for (const header of headers) {
    const [name = '', value] = header.split(': ')
    t.equal(shape(delivery?.headers[name]), shape(value), name)
  }
  t.same(keysOf(delivery?.body), keysOf(JSON.parse(text)))
  t.match(delivery?.body, { type: 'run.completed', data: { runId: body.runId } })

  const [, id, data = ''] = /^id: (.*)\ndata: (.*)$/m.exec(readFileSync('docs/callers.md', 'utf8')) ?? []
  const queued = await feed.until(({ chunk }) => chunk?.type === 'run.queued')
  feed.leave()
  t.same(keysOf(queued.chunk), keysOf(JSON.parse(data)))
  t.equal(queued.chunk.type, JSON.parse(data).type)
  const ids = Array.from(feed.body().matchAll(/^id: (.*)$/gm), ([, id]) => id?.replaceAll(/\d+/g, '1'))
  t.same(new Set(ids), new Set([id?.replaceAll(/\d+/g, '1')]))
})

test('the failed turn of the guide for pages is that of the service', async (t) => {
  const service = await startService(t)
  const shown = JSON.parse(illustration('docs/pages.md', 'json'))
  const { body: run } = await service.call('POST', '/api/agent/chat/sync', {
    body: { message: '[[fail:429]] What now?' },
  })
  const { body } = await service.call('GET', `/api/agent/conversations/${run.conversationId}/messages`)
  const failed = body.data.at(-1)
  const { conversationId, runId } = run
  const metadata = { ...shown.metadata, conversationId, runId }
  t.match(failed, { ...shown, id: /-/, runId, metadata })
  t.same(keysOf(failed.metadata), keysOf(shown.metadata))
})
