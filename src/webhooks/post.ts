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

/** The result of one attempt. `retryAfter` is the time that the receiver has named, in seconds. */
export type PostResult =
  | { isDelivered: true; status: number }
  | { isDelivered: false; errorCode: PostFailure; status?: number; retryAfter?: number }

export interface Post {
  /** The name of the receiver in metrics: the name of the endpoint, or `start`. */
  receiver: string
  url: string
  headers: Record<string, string>
  body: string
}

export type Poster = (post: Post) => Promise<PostResult>

export interface PosterOptions {
  networks: Networks
  /** Time for one whole attempt: the resolution of the name, the connection and the answer. */
  timeoutMs?: number
  /** Finds all addresses of a host; the system's resolver when absent. */
  resolve?: (host: string) => Promise<LookupAddress[]>
}

const TIMEOUT_MS = 15_000
/** The most bytes of an answer's body that are read. Only the status of an answer counts. */
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
 * attempt. Parallel attempts at one host share a resolution. The connection is made to an address that was checked, so a
 * name that changes its address meanwhile cannot lead to another one. Never rejects.
 */
export function poster({ networks, timeoutMs = TIMEOUT_MS, resolve = allOf }: PosterOptions): Poster {
  /** Resolutions under way, by host. The system resolves four names at a time, so a slow name must take one of them only. */
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

/** Rejects when `signal` aborts, because the resolution of a name cannot be cancelled. */
function within<T>(signal: AbortSignal, work: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(signal.reason)
    signal.addEventListener('abort', onAbort, { once: true })
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort))
  })
}

/**
 * Resolves with the head of the answer when the connection has ended. The body is dropped. The attempt lasts as long as
 * the connection, so a receiver that ends its answers late has no more connections than attempts. After a head, an error
 * of the connection does not count.
 */
function send(url: URL, { headers, body }: Post, found: LookupAddress[], signal: AbortSignal) {
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>()
  const request = (url.protocol === 'https:' ? overHttps : overHttp)(url, {
    method: 'POST',
    signal,
    // Each attempt has a new connection, because a kept connection may lead to an address that was not checked.
    agent: false,
    // TLS still compares the certificate with the host name.
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
