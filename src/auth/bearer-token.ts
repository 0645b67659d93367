import type { IncomingMessage } from 'node:http'
import { headerValues } from '../http/header-values.ts'

/** The scheme in any case (RFC 9110 §11.1), one or more blanks, then one b64token (RFC 6750 §2.1). */
const CREDENTIALS = /^bearer +([\w\-.~+/]+=*)$/i

/**
 * The bearer token of a request.
 *
 * @throws Error when `Authorization` was sent twice or holds something else, for the log only
 */
export function bearerToken(raw: IncomingMessage): string {
  const [credentials = '', ...others] = headerValues(raw, 'authorization')
  if (others.length > 0) throw new Error('the Authorization header was sent more than once')
  const token = CREDENTIALS.exec(credentials)?.[1]
  if (token === undefined) throw new Error('the Authorization header holds no bearer token')
  return token
}
