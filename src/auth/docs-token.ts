import type { IncomingMessage } from 'node:http'
import { SignJWT } from 'jose'
import type { AppConfig } from '../config/config.ts'

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

/** The facts about a request that decide about a docs token. */
type Asked = Pick<IncomingMessage, 'headers' | 'httpVersion'> & {
  /** The target of the request line. */
  target: string
  /** The address of the other end of the connection. */
  remoteAddress: string | undefined
}

/**
 * Whether a browser on this machine has opened the documentation of a service that listens on this machine alone. A
 * foreign host name that resolves to loopback (DNS rebinding) means a foreign page, and is refused. A proxy on this
 * machine also connects from loopback and may send a loopback host. It is recognized by the headers that it adds, and by
 * a missing `Connection: keep-alive`, which browsers send and which a proxy does not pass on (RFC 9110 §7.6.1).
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
