import { isUtf8 } from 'node:buffer'
import type { IncomingMessage } from 'node:http'
import { problem } from '../errors.ts'
import { headerValues } from '../http/header-values.ts'
import { isPrintable } from './claims.ts'

/** Node reads headers as latin1. Names beyond ASCII arrive in UTF-8 and have to equal the `sub` of a token. */
function decoded(value: string): string {
  const bytes = Buffer.from(value, 'latin1')
  return isUtf8(bytes) ? bytes.toString() : value
}

/** The user that `X-Effective-User` names; undefined without the header. */
export function effectiveUser(raw: IncomingMessage): string | undefined {
  const values = headerValues(raw, 'x-effective-user')
  if (values.length === 0) return undefined
  const [user] = values.map(decoded)
  if (values.length === 1 && isPrintable(user)) return user
  const message = 'must be sent once, with 1 to 255 printable characters'
  throw problem('invalid_request', {
    detail: `\`X-Effective-User\` ${message}.`,
    members: { errors: [{ in: 'header', path: '/x-effective-user', message }] },
  })
}
