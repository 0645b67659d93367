import type { LookupAddress } from 'node:dns'
import { lookup } from 'node:dns/promises'
import { type IncomingMessage, request as overHttp, type RequestOptions } from 'node:http'
import { request as overHttps } from 'node:https'
import { isIP } from 'node:net'
import type { Networks } from './networks.ts'

/** Why an attempt has failed. Callers see these codes in the list of deliveries. */
export type PostFailure =
  | 'address_refused'
  | 'host_unknown'
  | 'insecure_address'
  | 'redirected'
  | 'gone'
  | 'refused'
  | 'connection_failed'
  | 'timed_out'

/** The answer to one attempt. `retryAfter` is in seconds, as the receiver has named it. */
export type PostResult =
  | { isDelivered: true; status: number }
  | { isDelivered: false; errorCode: PostFailure; status?: number; retryAfter?: number }

export interface Post {
  /** Name of the endpoint, or `start`: for metrics. */
  receiver: string
  url: string
  headers: Record<string, string>
  body: string
}

export type Poster = (post: Post) => Promise<PostResult>

export interface PosterOptions {
  networks: Networks
  /** Time for one attempt with everything: the look-up of the name, the connection, the answer. */
  timeoutMs?: number
  /** Finds all addresses of a host; the system's resolver when absent. */
  resolve?: (host: string) => Promise<LookupAddress[]>
}

const TIMEOUT_MS = 15_000
/** Bytes of an answer's body that are read: the status alone counts. */
const ANSWER_BYTES = 1_024

class Failed extends Error {
  readonly code: PostFailure
  constructor(code: PostFailure) {
    super(code)
    this.code = code
  }
}

/**
 * Sends one request and reads the status of its answer, without following redirects. The host is resolved once for each
 * attempt (attempts at the same moment share a look-up), and the connection is made to the very addresses that were checked: a name that changes its address meanwhile
 * cannot lead elsewhere. Never rejects.
 */
export function poster({ networks, timeoutMs = TIMEOUT_MS, resolve = allOf }: PosterOptions): Poster {
  /** The system looks up four names at once, for the whole process: a name that takes long is looked up once at a time. */
  const lookups = new Map<string, Promise<LookupAddress[]>>()

  function lookUp(host: string): Promise<LookupAddress[]> {
    const underway = lookups.get(host)
    if (underway !== undefined) return underway
    const started = resolve(host).finally(() => lookups.delete(host))
    lookups.set(host, started)
    return started
  }

  async function addressesOf(url: URL, signal: AbortSignal): Promise<LookupAddress[]> {
    // URL has already written decimal, octal and hexadecimal addresses as four numbers.
    const host = url.hostname.replace(/^\[|\]$/g, '')
    const family = isIP(host)
    const found = family === 0 ? await within(signal, lookUp(host)) : [{ address: host, family }]
    if (found.length === 0) throw new Failed('host_unknown')
    if (!found.every(({ address }) => networks.admits(address))) throw new Failed('address_refused')
    const isListed = found.every(({ address }) => networks.lists(address))
    if (url.protocol !== 'https:' && !isListed) throw new Failed('insecure_address')
    return found
  }

  return async (post) => {
    const signal = AbortSignal.timeout(timeoutMs)
    try {
      const url = new URL(post.url)
      return resultOf(await send(url, post, await addressesOf(url, signal), signal))
    } catch (error) {
      const errorCode =
        error instanceof Failed ? error.code : signal.aborted ? 'timed_out' : 'connection_failed'
      return { isDelivered: false, errorCode }
    }
  }
}

async function allOf(host: string): Promise<LookupAddress[]> {
  try {
    return await lookup(host, { all: true })
  } catch {
    throw new Failed('host_unknown')
  }
}

/** A look-up cannot be cancelled: its result comes too late then. */
function within<T>(signal: AbortSignal, work: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(signal.reason)
    signal.addEventListener('abort', onAbort, { once: true })
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort))
  })
}

/**
 * Resolves with the head of the answer when the connection is over; the body is thrown away. Until then the attempt goes
 * on, so a receiver that ends its answers late has no more connections than attempts. Once there is a head, it counts
 * however the connection ends.
 */
function send(url: URL, { headers, body }: Post, found: LookupAddress[], signal: AbortSignal) {
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>()
  const request = (url.protocol === 'https:' ? overHttps : overHttp)(url, {
    method: 'POST',
    signal,
    // Each attempt has a new connection, because a kept one may lead to an address that was not checked.
    agent: false,
    // The certificate is still compared with the name.
    lookup: pinned(found),
    headers: { ...headers, 'content-length': Buffer.byteLength(body) },
  })
  let head: IncomingMessage | undefined
  request.once('response', (response) => {
    head = response
    let bytes = 0
    response.on('data', (piece: Buffer) => {
      bytes += piece.length
      if (bytes > ANSWER_BYTES) request.destroy()
    })
    response.on('error', () => {})
    response.once('close', () => resolve(response))
  })
  request.once('upgrade', (response, socket) => {
    socket.destroy()
    resolve(response)
  })
  request.on('error', (error) => (head === undefined ? reject(error) : resolve(head)))
  request.end(body)
  return promise
}

const pinned =
  (found: LookupAddress[]): NonNullable<RequestOptions['lookup']> =>
  (_host, { all }, done) => {
    const [first] = found
    if (all) done(null, found)
    else done(null, first?.address ?? '', first?.family)
  }

function resultOf({ statusCode: status = 0, headers }: IncomingMessage): PostResult {
  if (status >= 200 && status < 300) return { isDelivered: true, status }
  if (status === 410) return { isDelivered: false, errorCode: 'gone', status }
  if (status >= 300 && status < 400) return { isDelivered: false, errorCode: 'redirected', status }
  const retryAfter = status === 429 || status === 503 ? secondsOf(headers['retry-after']) : undefined
  return {
    isDelivered: false,
    errorCode: 'refused',
    status,
    ...(retryAfter === undefined ? {} : { retryAfter }),
  }
}

/** `Retry-After` is a number of seconds, or a date (RFC 9110 §10.2.3). */
function secondsOf(value: string | undefined): number | undefined {
  if (value === undefined) return undefined
  if (/^\d{1,9}$/.test(value)) return Number(value)
  const at = Date.parse(value)
  return Number.isNaN(at) ? undefined : Math.max(0, Math.ceil((at - Date.now()) / 1000))
}
