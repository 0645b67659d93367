import type { IncomingMessage } from 'node:http'
import { headerValues } from './header-values.ts'

/**
 * Seconds of `Prefer: wait=N` (RFC 7240 §4.3). The first `wait` counts, and other preferences are ignored. A value that
 * is no whole number of seconds is ignored too, as the RFC demands.
 */
export function preferredWait(request: IncomingMessage): number | undefined {
  const preferences = headerValues(request, 'prefer').flatMap((value) => value.split(','))
  const wait = preferences.find((preference) => /^\s*wait\b/i.test(preference))
  const seconds = /^\s*wait\s*=\s*(?:"(\d+)"|(\d+))\s*(?:;.*)?$/i.exec(wait ?? '')
  return seconds === null ? undefined : Number(seconds[1] ?? seconds[2])
}
