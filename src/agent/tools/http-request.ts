import { z } from 'zod'
import { type Answer, type Exchange, exchange } from '../http/exchange.ts'
import { isPublicAddress } from '../http/public-address.ts'
import { type AgentTool, defineTool } from './tool.ts'
import { ToolError } from './tool-error.ts'

export interface HttpRequestOptions {
  /** Origins that may be called, such as `https://api.example.com`; redirects are followed within them. */
  origins: string[]
  timeoutMs?: number
  maxBytes?: number
  /** For tests only: other checks of addresses, and another resolver. */
  mayConnect?: Exchange['mayConnect']
  resolve?: Exchange['resolve']
}

const TIMEOUT_MS = 10_000
const MAX_BYTES = 256 * 1024
const MAX_REDIRECTS = 5
const REDIRECTS = new Set([301, 302, 303, 307, 308])
const SAFE = new Set(['GET', 'HEAD'])

const input = z.object({
  url: z.string().max(4000).describe('The whole address'),
  method: z.enum(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE']).default('GET'),
  body: z.string().max(100_000).optional().describe('The body of the request, usually JSON'),
  contentType: z.enum(['application/json', 'text/plain', 'application/x-www-form-urlencoded']).optional(),
})

/**
 * Calls HTTP APIs for the model, at the named origins only. A call carries no data of the user beside the text that
 * the model writes into it. A call that may change something carries an `Idempotency-Key`.
 */
export function createHttpRequest(options: HttpRequestOptions): AgentTool {
  const { timeoutMs = TIMEOUT_MS, maxBytes = MAX_BYTES, mayConnect = isPublicAddress, resolve } = options
  return defineTool({
    description: `Calls an HTTP API and returns its answer. Allowed origins: ${options.origins.join(', ')}`,
    inputSchema: input,
    timeoutMs,
    execute: async ({ url, method, body, contentType }, { signal, idempotencyKey }) => {
      const headers: Record<string, string> = {
        accept: 'application/json, text/*;q=0.8',
        ...(SAFE.has(method) ? {} : { 'idempotency-key': idempotencyKey }),
        ...(body === undefined ? {} : { 'content-type': contentType ?? 'application/json' }),
      }
      const limits = { signal, maxBytes, mayConnect, resolve }
      const first = { url: allowed(url, options.origins), method, headers, body, ...limits }
      const { status, headers: received, body: text } = await follow(first, options.origins)
      return { status, contentType: received['content-type'] ?? null, body: text }
    },
  })
}

async function follow(first: Exchange, origins: string[]): Promise<Answer> {
  let next = first
  for (let hops = 0; hops <= MAX_REDIRECTS; hops++) {
    const answer = await exchange(next)
    const { location } = answer.headers
    if (!REDIRECTS.has(answer.status) || location === undefined) return answer
    const url = allowed(location, origins, next.url)
    // RFC 9110 §15.4: a redirect of 301, 302 or 303 is followed with GET.
    const { body: _, ...bare } = next
    const { 'content-type': _type, 'idempotency-key': _key, ...headers } = next.headers
    next =
      answer.status >= 307 || SAFE.has(next.method)
        ? { ...next, url }
        : { ...bare, headers, method: 'GET', url }
  }
  throw new ToolError('The address redirects too often.')
}

function allowed(address: string, origins: string[], base?: URL): URL {
  const url = URL.canParse(address, base?.href) ? new URL(address, base) : undefined
  if (url === undefined) throw new ToolError('The address is not a well-formed URL.')
  if (url.username !== '' || url.password !== '')
    throw new ToolError('An address with a password is not allowed.')
  if (origins.includes(url.origin)) return url
  const which = base === undefined ? 'The address is not at' : 'The address redirects out of'
  throw new ToolError(`${which} an allowed origin. Allowed: ${origins.join(', ')}.`)
}
