import type { TSchema } from '@sinclair/typebox'
import { Settings } from './settings.ts'

/**
 * The settings whose address is plain `http:` and not on this machine. Others can read and change the traffic to such an
 * address: keys that verify tokens, the secret key of Trigger.dev, texts of conversations.
 *
 * @returns names of variables
 */
export function plainHttpSettings(settings: Settings): string[] {
  return Object.entries<TSchema & { schemes?: string[] }>(Settings.properties)
    .filter(([, { schemes }]) => schemes?.includes('http'))
    .map(([name]) => name)
    .filter((name) => {
      const value = settings[name as keyof Settings]
      if (typeof value !== 'string' || !URL.canParse(value)) return false
      const { protocol, hostname } = new URL(value)
      return protocol === 'http:' && !isLoopback(hostname)
    })
}

const isLoopback = (hostname: string): boolean =>
  hostname === 'localhost' ||
  hostname.endsWith('.localhost') ||
  hostname === '[::1]' ||
  /^127(\.\d+){3}$/.test(hostname)
