import type { IncomingMessage } from 'node:http'
import { headerValues } from './header-values.ts'

/**
 * Seconds of `Prefer: wait=N` (RFC 7240 §4.3). The first `wait` counts, other preferences are passed over; what
 * cannot be read as whole seconds is ignored, as the RFC wants.
 */
export function preferredWait(request: IncomingMessage): number | undefined {
  const preferences = headerValues(request, 'prefer').flatMap((value) => value.split(','))
  const wait = preferences.find((preference) => /^\s*wait\b/i.test(preference))
  const seconds = /^\s*wait\s*=\s*(?:"(\d+)"|(\d+))\s*(?:;.*)?$/i.exec(wait ?? '')
  return seconds === null ? undefined : Number(seconds[1] ?? seconds[2])
}
