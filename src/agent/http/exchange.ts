import type { LookupAddress } from 'node:dns'
import { lookup } from 'node:dns/promises'
import { type IncomingMessage, request as overHttp, type RequestOptions } from 'node:http'
import { request as overHttps } from 'node:https'
import { isIP } from 'node:net'
import { ToolError } from '../tools/tool-error.ts'

export interface Exchange {
  url: URL
  method: string
  headers: Record<string, string>
  body?: string | undefined
  signal: AbortSignal
  /** Bytes that an answer may have. */
  maxBytes: number
  /** Whether the worker may connect to an address. */
  mayConnect(address: string): boolean
  /** Finds all addresses of a host; the system's resolver when absent. */
  resolve?: ((host: string) => Promise<LookupAddress[]>) | undefined
}

export interface Answer {
  status: number
  headers: IncomingMessage['headers']
  body: string
}

const TEXT =
  /^(text\/|application\/([\w.+-]+\+)?(json|xml|javascript|x-ndjson|yaml|x-yaml|x-www-form-urlencoded)\b)/i

/**
 * Sends one request and reads its answer, without following redirects. The host is resolved once, and the worker
 * connects to the very address that it checked, so a name that changes its address meanwhile cannot lead elsewhere.
 * @throws ToolError that says why there is no answer
 */
export async function exchange(options: Exchange): Promise<Answer> {
  const address = await addressOf(options)
  const { url, method, body, signal } = options
  const secure = url.protocol === 'https:'
  const request = (secure ? overHttps : overHttp)(url, {
    method,
    signal,
    // Each request has a new connection, because a kept one may lead to an address that was not checked.
    agent: false,
    // The certificate is still compared with the name.
    lookup: pinned(address),
    headers: { ...options.headers, 'accept-encoding': 'identity' },
  })
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>()
  request.once('response', resolve).once('error', reject)
  request.once('upgrade', (response, socket) => {
    socket.destroy()
    reject(new ToolError(`The server answered ${response.statusCode} and wants another protocol.`))
  })
  request.end(body)
  try {
    return await read(await promise, options)
  } catch (error) {
    signal.throwIfAborted()
    throw error instanceof ToolError
      ? error
      : new ToolError(`The server could not be reached: ${codeOf(error)}.`)
  } finally {
    request.destroy()
  }
}

async function addressOf({ url, mayConnect, resolve, signal }: Exchange): Promise<LookupAddress> {
  // URL has already written decimal, octal and hexadecimal addresses as four numbers.
  const host = url.hostname.replace(/^\[|\]$/g, '')
  const family = isIP(host)
  const addresses = family === 0 ? await resolved(host, resolve) : [{ address: host, family }]
  signal.throwIfAborted()
  const [first] = addresses
  if (first === undefined) throw new ToolError('The host of the address does not exist.')
  if (!addresses.every(({ address }) => mayConnect(address)))
    throw new ToolError('The host of the address is in a private network, which is not allowed.')
  return first
}

async function resolved(host: string, resolve = (name: string) => lookup(name, { all: true })) {
  try {
    return await resolve(host)
  } catch {
    throw new ToolError('The host of the address does not exist.')
  }
}

const pinned =
  (found: LookupAddress): NonNullable<RequestOptions['lookup']> =>
  (_host, { all }, done) =>
    all ? done(null, [found]) : done(null, found.address, found.family)

async function read(response: IncomingMessage, { maxBytes, method }: Exchange): Promise<Answer> {
  const { statusCode: status = 0, headers } = response
  const hasBody = method !== 'HEAD' && status !== 204 && status !== 304
  const encoding = headers['content-encoding'] ?? 'identity'
  if (hasBody && encoding !== 'identity')
    throw new ToolError('The answer is compressed, which was not asked for.')
  const type = headers['content-type'] ?? 'text/plain'
  if (hasBody && status < 300 && !TEXT.test(type)) throw new ToolError('The answer is not a text.')
  const tooLarge = new ToolError(`The answer is larger than ${maxBytes} bytes.`)
  if (Number(headers['content-length'] ?? 0) > maxBytes) throw tooLarge
  const pieces: Buffer[] = []
  let bytes = 0
  for await (const piece of response as AsyncIterable<Buffer>) {
    bytes += piece.length
    if (bytes > maxBytes) throw tooLarge
    pieces.push(piece)
  }
  return { status, headers, body: Buffer.concat(pieces).toString('utf8') }
}

function codeOf(error: unknown): string {
  const { code } = (error ?? {}) as { code?: unknown }
  return typeof code === 'string' ? code : 'its answer is broken'
}
