import { readdirSync, readFileSync } from 'node:fs'

export interface Exchange {
  request: { method: string; path: string; headers: Record<string, string>; body: unknown }
  response: Answer
}

export interface Answer {
  status: number
  headers: Record<string, string>
  body: unknown
}

const FOLDER = new URL('./recordings/', import.meta.url)

export const recordings = (): string[] =>
  readdirSync(FOLDER)
    .filter((file) => file.endsWith('.json'))
    .map((file) => file.slice(0, -'.json'.length))

export const recording = <T = Exchange>(name: string): T =>
  JSON.parse(readFileSync(new URL(`${name}.json`, FOLDER), 'utf8')) as T

/** The headers that the SDK reads; others are the web framework's own. */
const SDK_HEADERS = [
  'content-type',
  'electric-cursor',
  'electric-handle',
  'electric-offset',
  'electric-schema',
  'x-last-chunk-index',
  'x-ratelimit-limit',
  'x-ratelimit-remaining',
  'x-ratelimit-reset',
  'x-should-retry',
  'x-stream-version',
  'x-trigger-jwt',
  'x-trigger-jwt-claims',
]

/** What callers put in or tasks put out, in the shape that they like. */
const CONTENT = new Set(['payload', 'output', 'metadata', 'stackTrace', 'tags', 'runTags', 'idempotencyKey'])
/** What differs from run to run and from clock to clock: only its type is compared. */
const CIRCUMSTANCES = new Set([
  'user',
  'durationMs',
  'usageDurationMs',
  'next',
  'previous',
  'realtimeStreams',
])

/** Replays one exchange: `runId` stands in for the recorded run, `token` for the recorded key. */
export async function replay(
  exchange: Exchange,
  base: string,
  runId: string,
  token: string,
): Promise<Answer> {
  const { method, path, headers, body } = exchange.request
  const { 'content-length': _length, authorization, ...others } = headers
  const response = await fetch(base + path.replace(/run_c[a-z0-9]{24}/, runId), {
    method,
    headers: {
      ...others,
      // Readers of streams were patient; how long is not what is compared.
      ...('timeout-seconds' in others && { 'timeout-seconds': '1' }),
      ...(authorization && { authorization: authorization.replace(/tr_(dev|prod)_recorded$|<jwt>/, token) }),
    },
    ...(body !== null &&
      body !== undefined && { body: typeof body === 'string' ? body : JSON.stringify(body) }),
  })
  const text = await response.text()
  return { status: response.status, headers: Object.fromEntries(response.headers), body: parsed(text) }
}

/**
 * How an answer differs from the recorded one: in status, in the headers that the SDK reads, in the fields of the
 * body and in their values. Ids, moments and versions are compared by their form.
 */
export function differences(recorded: Answer, answer: Answer): string[] {
  const found: string[] = []
  if (recorded.status !== answer.status) found.push(`status: ${answer.status} instead of ${recorded.status}`)
  for (const header of SDK_HEADERS) {
    const [expected, actual] = [recorded.headers[header], answer.headers[header]]
    if (expected === undefined && actual === undefined) continue
    if (actual === undefined) found.push(`header ${header}: missing`)
    else if (expected === undefined) found.push(`header ${header}: extra`)
    else compare(headerValue(header, expected), headerValue(header, actual), `header ${header}`, found)
  }
  compare(bodyOf(recorded), bodyOf(answer), 'body', found)
  return found
}

/** One event of a stream of them. Ids are numbered in the order in which they first come, as who shares one counts. */
export interface StreamEvent {
  event?: string
  id?: string
  data: unknown
}

export function streamEvents(text: string): StreamEvent[] {
  const ids = new Map<string, string>()
  const numbered = (id: string) => {
    if (!ids.has(id)) ids.set(id, `${id.replace(/\d+/g, 'n')} #${ids.size}`)
    return ids.get(id) ?? ''
  }
  const frames = text.split('\n\n').filter((frame) => frame !== '' && !frame.startsWith(':'))
  return frames.map((frame) => {
    const fields = new Map(frame.split('\n').map((line) => line.split(/: (.*)/s, 2) as [string, string]))
    const [event, id] = [fields.get('event'), fields.get('id')]
    return {
      ...(event !== undefined && { event }),
      ...(id !== undefined && { id: numbered(id) }),
      data: parsed(fields.get('data') ?? ''),
    }
  })
}

function headerValue(name: string, value: string): unknown {
  if (name === 'x-trigger-jwt-claims' || name === 'electric-schema') return parsed(value)
  // Recorded with buckets of two sizes, and at some moment.
  if (name.startsWith('x-ratelimit')) return Number.isInteger(Number(value)) ? 'a number' : value
  if (name.startsWith('electric')) return value.replace(/\d+/g, 'n').replace(/(?<=runs?[-_]).*/, '<id>')
  if (name === 'x-trigger-jwt') return 'a token'
  // A content type without its spelling.
  return value.toLowerCase().replaceAll('; ', ';')
}

const bodyOf = ({ headers, body }: Answer): unknown =>
  headers['content-type']?.startsWith('text/event-stream') ? streamEvents(String(body)) : body

function compare(recorded: unknown, answer: unknown, path: string, found: string[]): void {
  if (kind(recorded) !== kind(answer)) {
    found.push(`${path}: ${kind(answer)} instead of ${kind(recorded)}`)
  } else if (Array.isArray(recorded) && Array.isArray(answer)) {
    if (recorded.length !== answer.length)
      found.push(`${path}: ${answer.length} elements instead of ${recorded.length}`)
    for (const [n, element] of recorded.entries())
      if (n < answer.length) compare(element, answer[n], `${path}[${n}]`, found)
  } else if (isObject(recorded) && isObject(answer)) {
    for (const key of new Set([...Object.keys(recorded), ...Object.keys(answer)])) {
      if (!(key in answer)) found.push(`${path}.${key}: missing`)
      else if (!(key in recorded)) found.push(`${path}.${key}: extra`)
      else if (CIRCUMSTANCES.has(key) && kind(recorded[key]) === kind(answer[key])) continue
      else if (!CONTENT.has(key)) compare(recorded[key], answer[key], `${path}.${key}`, found)
    }
  } else if (form(recorded) !== form(answer)) {
    found.push(`${path}: ${JSON.stringify(answer)} instead of ${JSON.stringify(recorded)}`)
  }
}

/** A value without what is of one run, one moment or one server. */
function form(value: unknown): unknown {
  if (typeof value !== 'string') return value
  return value
    .replace(/\bc[a-z0-9]{24}\b/g, '<id>')
    .replace(/(?<=run_|waitpoint_)c[a-z0-9]{24}\b/g, '<id>')
    .replace(/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}/g, '<moment>')
    .replace(/^\d{8}\.\d+$/, '<version>')
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null
const kind = (value: unknown): string =>
  Array.isArray(value) ? 'array' : value === null ? 'null' : typeof value

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}
