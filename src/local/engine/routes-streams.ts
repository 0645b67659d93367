import { AppendToStreamResponseBody, CreateStreamResponseBody } from '@trigger.dev/core/v3/schemas'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { answer, endpointOf, HttpError, notImplemented } from './answers.ts'
import { readBody, withoutDestroying } from './bodies.ts'
import { findRun, type RouteContext } from './context.ts'
import { isFinal, type Run } from './run.ts'
import { RunStream, StreamFullError, type StreamRules } from './stream.ts'
import { FRAMINGS, followStream } from './stream-reader.ts'

type Reading = { Params: { id: string; key: string } }
type Writing = { Params: { id: string; target: string; key: string } }

const MAX_APPEND_BYTES = 512 * 1024
const MAX_STREAM_BYTES = 32 * 1024 * 1024
const SILENCE_S = { default: 60, max: 600 }

/** The streams of a run. The task of the run writes them; every caller that may read the run may read them. */
export function streamRoutes(app: FastifyInstance, context: RouteContext): void {
  const { streams: backend, keptWrites, silenceSeconds = Number.POSITIVE_INFINITY } = context.switches
  const rules: StreamRules =
    backend === 'redis'
      ? { maxBytes: MAX_STREAM_BYTES, counts: 'writes', maxEntries: keptWrites }
      : { maxBytes: MAX_STREAM_BYTES, counts: 'lines' }

  const streamOf = (run: Run, key: string): RunStream => {
    const stream = run.streams.get(key) ?? new RunStream(rules)
    run.streams.set(key, stream)
    return stream
  }
  const writable = (request: FastifyRequest, { id, key }: Writing['Params']): RunStream => {
    const run = findRun(context, request, id, 'write')
    if (isFinal(run.state) && run.completedAt) throw new HttpError(400, { error: 'Run is already completed' })
    const stream = streamOf(run, key)
    stream.declared = true
    return stream
  }

  context.store.on('change', (run) => {
    if (run.completedAt) for (const stream of run.streams.values()) stream.emit('change')
  })

  // Without these routes such a request would match the routes of a stream whose target has that name.
  app.all('/realtime/v1/streams/:id/input/:key', async (request) => {
    throw notImplemented(endpointOf(request))
  })

  app.get<Reading>('/realtime/v1/streams/:id/:key', async (request, reply) => {
    const run = findRun(context, request, request.params.id, 'read')
    const framing = FRAMINGS[backend]
    const seconds = Number(request.headers['timeout-seconds'] ?? SILENCE_S.default)
    if (!(seconds >= 1 && seconds <= SILENCE_S.max))
      throw new HttpError(400, { error: 'Invalid timeout-seconds' })
    const lastEventId = request.headers['last-event-id']
    reply.hijack()
    reply.raw.writeHead(200, {
      'content-type': 'text/event-stream; charset=utf-8',
      'cache-control': 'no-cache',
      ...(framing.version === 'v2' && { 'x-stream-version': 'v2' }),
    })
    reply.raw.flushHeaders()
    const stream = streamOf(run, request.params.key)
    await followStream(stream, reply.raw, {
      framing,
      lastEventId: typeof lastEventId === 'string' ? lastEventId : undefined,
      latest: request.headers['x-trigger-stream-start'] === 'latest',
      silenceMs: Math.min(seconds, silenceSeconds) * 1000,
      // The reader of a stream that was never written gets no record until its time is up, as on a real server.
      isOver: () => backend === 's2' && stream.declared && run.completedAt !== undefined,
    })
  })

  app.put<Writing>('/realtime/v1/streams/:id/:target/:key', async (request, reply) => {
    writable(request, request.params)
    return answer(reply, CreateStreamResponseBody, { version: 'v1' }, 202)
  })

  app.head<Writing>('/realtime/v1/streams/:id/:target/:key', async (request, reply) => {
    const run = findRun(context, request, request.params.id, 'write')
    const client = String(request.headers['x-client-id'] ?? '')
    const last = run.streams.get(request.params.key)?.lastChunk(client) ?? -1
    return reply.header('x-last-chunk-index', String(last)).send()
  })

  app.post<Writing>('/realtime/v1/streams/:id/:target/:key', async (request, reply) => {
    const stream = writable(request, request.params)
    const client = String(request.headers['x-client-id'] ?? '')
    stream.open()
    try {
      await ingest(request, stream, client, Number(request.headers['x-resume-from-chunk'] ?? 0))
    } finally {
      stream.close()
    }
    return reply.code(200).send()
  })

  app.post<Writing>('/realtime/v1/streams/:id/:target/:key/append', async (request, reply) => {
    const stream = writable(request, request.params)
    const text = (await readBody(request, MAX_APPEND_BYTES)).toString()
    write(stream, [JSON.stringify(text)], '', 0)
    return answer(reply, AppendToStreamResponseBody, { ok: true })
  })
}

/** Appends each line as it arrives. The lines that arrive in one piece become one entry. */
async function ingest(
  request: FastifyRequest,
  stream: RunStream,
  client: string,
  from: number,
): Promise<void> {
  let index = from
  let rest = ''
  let last = from
  request.raw.setEncoding('utf8')
  for await (const piece of withoutDestroying<string>(request)) {
    const lines = (rest + piece).split('\n')
    rest = lines.pop() ?? ''
    last = index
    index += write(stream, lines, client, index)
  }
  // Where writes are counted, a line without an end belongs to the write that began it.
  if (rest) write(stream, [rest], client, stream.counts === 'writes' ? last : index)
}

function write(stream: RunStream, lines: string[], client: string, from: number): number {
  const values = lines.filter((line) => line.trim() !== '').map(asJson)
  try {
    return stream.write(values, client, from)
  } catch (error) {
    if (error instanceof StreamFullError) throw new HttpError(413, { error: error.message })
    throw error
  }
}

/** A line that is no JSON is kept as a string, so that it cannot break the frame in which it is sent. */
function asJson(line: string): string {
  try {
    JSON.parse(line)
    return line
  } catch {
    return JSON.stringify(line)
  }
}
