import { readdirSync, readFileSync } from 'node:fs'

export interface Exchange {
  request: { method: string; path: string; headers: Record<string, string>; body: unknown }
  response: { status: number; headers: Record<string, string>; body: unknown }
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

/** What callers put in or tasks put out: any JSON. */
const CONTENT = new Set(['payload', 'output', 'metadata', 'stackTrace', 'details'])

/** Replays one exchange: `runId` stands in for the recorded run, `token` for the recorded key. */
export async function replay(
  exchange: Exchange,
  base: string,
  runId: string,
  token: string,
): Promise<Exchange['response']> {
  const { method, path, headers, body } = exchange.request
  const { 'content-length': _length, authorization, ...others } = headers
  const response = await fetch(base + path.replace(/run_c[a-z0-9]{24}/, runId), {
    method,
    headers: {
      ...others,
      // Readers of streams were patient; how long is not what is compared.
      ...('timeout-seconds' in others && { 'timeout-seconds': '1' }),
      ...(authorization && { authorization: authorization.replace(/tr_dev_recorded$|<jwt>/, token) }),
    },
    ...(body !== null &&
      body !== undefined && { body: typeof body === 'string' ? body : JSON.stringify(body) }),
  })
  const text = await response.text()
  return { status: response.status, headers: Object.fromEntries(response.headers), body: parsed(text) }
}

/** How an answer differs from the recorded one: in status, in the fields that are there, in their types. */
export function differences(recorded: Exchange['response'], answer: Exchange['response']): string[] {
  const found: string[] = []
  if (recorded.status !== answer.status) found.push(`status: ${answer.status} instead of ${recorded.status}`)
  for (const header of SDK_HEADERS) {
    if (header in recorded.headers === header in answer.headers) continue
    found.push(`header ${header}: ${header in answer.headers ? 'extra' : 'missing'}`)
  }
  compare(recorded.body, answer.body, 'body', found)
  return found
}

function compare(recorded: unknown, answer: unknown, path: string, found: string[]): void {
  if (kind(recorded) !== kind(answer)) {
    found.push(`${path}: ${kind(answer)} instead of ${kind(recorded)}`)
  } else if (Array.isArray(recorded) && Array.isArray(answer)) {
    if (recorded.length > 0 && answer.length > 0) compare(recorded[0], answer[0], `${path}[]`, found)
  } else if (isObject(recorded) && isObject(answer)) {
    for (const key of new Set([...Object.keys(recorded), ...Object.keys(answer)])) {
      if (!(key in answer)) found.push(`${path}.${key}: missing`)
      else if (!(key in recorded)) found.push(`${path}.${key}: extra`)
      else if (!CONTENT.has(key)) compare(recorded[key], answer[key], `${path}.${key}`, found)
    }
  }
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
