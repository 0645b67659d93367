import { isIP } from 'node:net'
import { normalizeIP } from '@fastify/rate-limit'
import type { FastifyRequest } from 'fastify'

/**
 * The address that a request is counted for: an IPv4 address, or the /64 of an IPv6 one. Behind trusted proxies
 * (TRUST_PROXY) it is the nearest address of `X-Forwarded-For` that no trusted proxy has. Some proxies add a port to
 * the addresses, or put brackets or quotes around them; each connection would then be an address of its own.
 */
export function addressOf(request: FastifyRequest): string {
  const { headers } = request.raw
  const forwarded = headers['x-forwarded-for']
  if (typeof forwarded === 'string') headers['x-forwarded-for'] = forwarded.split(',').map(bare).join(', ')
  // An entry that is no address is skipped, and the hop before it counts.
  const address = (request.ips ?? [request.ip]).findLast((hop) => isIP(hop) !== 0)
  return normalizeIP(address ?? request.ip)
}

/** An entry of `X-Forwarded-For` without quotes, brackets, port and zone. */
function bare(entry: string): string {
  const text = entry.trim().replace(/^"(.*)"$/, '$1')
  const [, inBrackets] = /^\[([^\]]*)\](?::\d+)?$/.exec(text) ?? []
  const [, beforePort] = /^([^:]*):\d+$/.exec(text) ?? []
  const address = (inBrackets ?? beforePort ?? text).replace(/%.*$/, '')
  return isIP(address) === 0 ? text : address.toLowerCase()
}
