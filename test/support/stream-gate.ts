import { once } from 'node:events'
import { createServer, request, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Transform } from 'node:stream'
import type { Teardown } from './service.ts'

/** Passes a read on to the engine, and the answer back to the reader, unchanged or changed by the test. */
export type Pass = (through?: Transform) => void

/** Decides about a read of a stream. It gets the number of the read, the answer, and a function that passes it on. */
export type Gatekeeper = (read: number, answer: ServerResponse, pass: Pass) => void

export interface StreamGate {
  url: string
  /** Reads of streams so far. */
  readonly reads: number
  /** Reads of streams that are open now. */
  readonly open: number
  keep: Gatekeeper
}

/** A proxy before an engine. It passes all requests on, except reads of streams, about which the gatekeeper decides. */
export async function startStreamGate(t: Teardown, engineUrl: string, keep: Gatekeeper): Promise<StreamGate> {
  const gate = { url: '', reads: 0, open: 0, keep }
  const server = createServer((incoming, answer) => {
    const pass: Pass = (through) => {
      const { method, headers } = incoming
      const onward = request(new URL(incoming.url ?? '', engineUrl), { method, headers, agent: false })
      onward.on('response', (response) => {
        answer.writeHead(response.statusCode ?? 500, response.headers)
        answer.flushHeaders()
        const body = through === undefined ? response : response.setEncoding('utf8').pipe(through)
        body.pipe(answer)
        response.on('error', () => answer.destroy())
      })
      onward.on('error', () => answer.destroy())
      answer.on('close', () => onward.destroy())
      incoming.pipe(onward)
    }
    const isRead = incoming.method === 'GET' && incoming.url?.startsWith('/realtime/v1/streams/')
    if (!isRead) return pass()
    gate.open++
    answer.on('close', () => gate.open--)
    gate.keep(++gate.reads, answer, pass)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  gate.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return gate
}

/**
 * A filter for a stream in the framing of S2. It drops the records for whose index `keep` does not hold. At the end of
 * the stream it ends too; with `destroy` it breaks the connection instead, once the rest has left.
 */
export function keeping(keep: (index: number) => boolean, destroy?: () => void): Transform {
  let rest = ''
  return new Transform({
    transform(text, _encoding, done) {
      const events = (rest + text).split('\n\n')
      rest = events.pop() ?? ''
      done(null, events.map((event) => `${thinned(event, keep)}\n\n`).join(''))
    },
    flush(done) {
      if (destroy === undefined) done()
      else setImmediate(destroy)
    },
  })
}

function thinned(event: string, keep: (index: number) => boolean): string {
  const prefix = 'event: batch\ndata: '
  if (!event.startsWith(prefix)) return event
  const batch: { records: Array<{ body: string }> } = JSON.parse(event.slice(prefix.length))
  const records = batch.records.filter(({ body }) => keep(JSON.parse(body).data.index))
  return prefix + JSON.stringify({ ...batch, records })
}
