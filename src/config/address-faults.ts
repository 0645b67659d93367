import type { TSchema } from '@sinclair/typebox'
import { Settings } from './settings.ts'

/**
 * The faults of settings that are addresses. An address needs a scheme of its setting, a port up to 65535 and escapes
 * that can be decoded. An HTTP address holds no user and no password, because `fetch` refuses them.
 */
export function addressFaults(settings: Settings): string[] {
  return Object.entries<TSchema & { schemes?: string[] }>(Settings.properties).flatMap(
    ([name, { schemes }]) => {
      const value = settings[name as keyof Settings]
      if (schemes === undefined || typeof value !== 'string') return []
      const fault = addressFault(value, schemes)
      return fault === undefined ? [] : [`${name}: ${fault}`]
    },
  )
}

function addressFault(value: string, schemes: string[]): string | undefined {
  const isAddress = schemes.some((scheme) => value.startsWith(`${scheme}://`))
  if (!isAddress || /\s/.test(value) || !URL.canParse(value)) {
    const beginnings = schemes.map((scheme) => `${scheme}://`).join(' or ')
    return `must be a well-formed address that begins with ${beginnings}`
  }
  const { protocol, username, password, pathname } = new URL(value)
  const isHttp = protocol === 'http:' || protocol === 'https:'
  if (isHttp && (username !== '' || password !== '')) return 'must not hold a user or a password'
  if (!isHttp && ![username, password, pathname].every(isDecodable))
    return 'holds a % that begins no escape: write %25 for a % in a user, a password or a path'
  if (protocol.startsWith('redis') && !/^\/?\d*$/.test(pathname))
    return 'must end with the number of a database, as in redis://cache:6379/0, or without a path'
  return undefined
}

function isDecodable(text: string): boolean {
  try {
    decodeURIComponent(text)
    return true
  } catch {
    // URIError: there is no other way to ask.
    return false
  }
}

/** An origin of an app's own scheme. The URL standard leaves it opaque, but browsers send its scheme and host. */
const APP_ORIGIN = /^[a-z][a-z\d+.-]*:\/\/[a-z\d.-]+(:\d{1,5})?$/

/**
 * Whether a browser can send a text as `Origin`: scheme, host and port in the form of the URL standard, in lower case,
 * with international names in Punycode and without the port that the scheme implies (RFC 6454 §6.2). `*` stands for all
 * origins.
 */
export function isOrigin(text: string): boolean {
  if (text === '*') return true
  if (!URL.canParse(text)) return false
  const { origin } = new URL(text)
  return origin === 'null' ? APP_ORIGIN.test(text) : origin === text && !text.includes('*')
}
