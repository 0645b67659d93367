import type { ServerResponse } from 'node:http'
import type { RunStream, StreamRecord } from './stream.ts'

/** The way in which a backend numbers and frames the records of a stream. */
export interface Framing {
  version: 'v1' | 'v2'
  /** The place in the stream at which a reader starts. */
  start(stream: RunStream, lastEventId: string | undefined): number
  frame(records: StreamRecord[], from: number): string
  ping: string
}

const bySeqNum: Framing = {
  version: 'v2',
  start: (stream, id) => (id === undefined ? 0 : Number(id) + 1 || stream.first),
  frame(records, from) {
    const batch = records.map(({ json, timestamp, entry }, i) => ({
      seq_num: from + i,
      timestamp,
      body: `{"data":${json},"id":"${entry}-${from + i}"}`,
    }))
    const tail = { seq_num: from + records.length, timestamp: records.at(-1)?.timestamp }
    return `event: batch\ndata: ${JSON.stringify({ records: batch, tail })}\n\n`
  },
  ping: 'event: ping\ndata: {}\n\n',
}

/**
 * The framing of the Redis backend. It reads an index as an entry id, which is older than all entries, so a reader that
 * names an index starts at the start of the stream.
 */
const byEntry: Framing = {
  version: 'v1',
  start(stream, id) {
    if (id === undefined) return 0
    const place = stream.records.findIndex(({ entry }) => isAfter(entry, id))
    return place < 0 ? stream.end : stream.first + place
  },
  frame: (records) => records.map(({ json, entry }) => `id: ${entry}\ndata: ${json}\n\n`).join(''),
  ping: ': ping\n\n',
}

function isAfter(entry: string, id: string): boolean {
  const [ms = 0, seq = 0] = entry.split('-').map(Number)
  const [otherMs = 0, otherSeq = 0] = id.split('-').map(Number)
  return ms > otherMs || (ms === otherMs && seq > otherSeq)
}

export const FRAMINGS = { s2: bySeqNum, redis: byEntry }

const PING_MS = 10_000
const RECORDS_PER_FRAME = 256

export interface ReadOptions {
  framing: Framing
  lastEventId: string | undefined
  latest: boolean
  /** Silence after which the reader's connection is ended cleanly. */
  silenceMs: number
  /** Whether the run has ended, so that it writes nothing more. */
  isOver(): boolean
}

/**
 * Sends a stream as a response until the stream is over, is silent for too long, or the reader has closed the
 * connection. The reader's socket sets the pace: nothing is buffered for it here.
 */
export async function followStream(
  stream: RunStream,
  response: ServerResponse,
  options: ReadOptions,
): Promise<void> {
  const { framing, silenceMs } = options
  let next = options.latest ? stream.end : framing.start(stream, options.lastEventId)
  let silentSince = Date.now()
  while (!response.destroyed) {
    next = Math.max(next, stream.first)
    const place = next - stream.first
    const records = stream.records.slice(place, place + RECORDS_PER_FRAME)
    if (records.length > 0) {
      const drained = response.write(framing.frame(records, next))
      next += records.length
      silentSince = Date.now()
      if (!drained) await either(response, 'drain', 'close')
      continue
    }
    const left = silentSince + silenceMs - Date.now()
    if (left <= 0 || (options.isOver() && stream.writers === 0)) break
    if (!(await changed(stream, response, Math.min(PING_MS, left))) && left > PING_MS)
      response.write(framing.ping)
  }
  response.end()
}

/** Waits for new records or for the end of the connection. @returns false when neither came in time */
function changed(stream: RunStream, response: ServerResponse, ms: number): Promise<boolean> {
  return new Promise((resolve) => {
    const done = (news: boolean) => {
      clearTimeout(timer)
      stream.off('change', onNews)
      response.off('close', onNews)
      resolve(news)
    }
    const onNews = () => done(true)
    const timer = setTimeout(done, ms, false).unref()
    stream.on('change', onNews)
    response.on('close', onNews)
  })
}

function either(response: ServerResponse, ...events: string[]): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      for (const event of events) response.off(event, done)
      resolve()
    }
    for (const event of events) response.on(event, done)
  })
}
