import type { IncomingMessage } from 'node:http'
import { SignJWT } from 'jose'
import type { AppConfig } from '../config.ts'

const LIFETIME = '12h'

/** A token for the user who opens the documentation on this machine, signed with the embedded secret. */
export function docsToken({ auth: { issuer, audience } }: AppConfig, secret: string): Promise<string> {
  const token = new SignJWT({ scope: 'agent:read agent:write' })
    .setProtectedHeader({ alg: 'HS256' })
    .setSubject('docs')
    .setIssuedAt()
    .setExpirationTime(LIFETIME)
  if (issuer !== undefined) token.setIssuer(issuer)
  if (audience !== undefined) token.setAudience(audience)
  return token.sign(new TextEncoder().encode(secret))
}

const LOOPBACK = /^(127(\.\d{1,3}){3}|::1|\[::1\]|::ffff:127(\.\d{1,3}){3}|localhost)$/i

/** Headers that proxies and tunnels add, and browsers never send. */
const OF_PROXIES =
  /^(forwarded|via|true-client-ip|x-(forwarded|original|real|client|cluster|remote|envoy|proxy)|cf-|fly-|fastly-)/

/** What can be known of a request for a docs token. */
type Asked = Pick<IncomingMessage, 'headers' | 'httpVersion'> & {
  /** The target as it came. */
  target: string
  /** The address of the other end of the connection. */
  remoteAddress: string | undefined
}

/**
 * Whether the documentation was opened by a browser on this machine, on a service that serves this machine alone. A
 * foreign name that resolves to loopback (DNS rebinding) belongs to a foreign page. A proxy on this machine connects
 * from loopback too, and may send a loopback host; it gives itself away by what it adds, and by `Connection`, which
 * belongs to one connection (RFC 9110 §7.6.1): browsers ask to keep theirs alive, and a proxy does not pass that on.
 */
export function isLocal(listenHost: string, { headers, httpVersion, target, remoteAddress }: Asked): boolean {
  const { host, referer, connection, 'sec-fetch-site': site = 'same-origin' } = headers
  return (
    [listenHost, remoteAddress ?? '', (host ?? '').replace(/:\d+$/, '')].every((name) =>
      LOOPBACK.test(name),
    ) &&
    ['same-origin', 'none'].includes(String(site)) &&
    (referer === undefined || (URL.canParse(referer) && new URL(referer).host === host?.toLowerCase())) &&
    httpVersion === '1.1' &&
    connection?.toLowerCase() === 'keep-alive' &&
    target.startsWith('/') &&
    !Object.keys(headers).some((name) => OF_PROXIES.test(name))
  )
}
