import { SignJWT } from 'jose'
import type { AppConfig } from '../config.ts'

const LIFETIME = '12h'

/** A token for whoever opens the documentation on this machine, signed with the embedded secret. */
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

const LOOPBACK = /^(127(\.\d{1,3}){3}|::1|\[::1\]|localhost)$/i

/**
 * Whether this service only serves this machine, and the page was opened under a name of this machine: a
 * foreign name that resolves to loopback (DNS rebinding) belongs to a foreign page.
 */
export function isLocal(listenHost: string, hostHeader: string | undefined): boolean {
  const host = (hostHeader ?? '').replace(/:\d+$/, '')
  return LOOPBACK.test(listenHost) && LOOPBACK.test(host)
}
