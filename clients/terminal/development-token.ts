import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const LAUNCHER = fileURLToPath(new URL('../../src/bin/launch.mjs', import.meta.url))
const LIFETIME_MINUTES = 60

/** Tokens as `npm run token` makes them, each for an hour. It refuses where the service has keys of its own. */
export function developmentToken(user: string): () => Promise<string> {
  let token: Promise<string> | undefined
  let renewAt = 0
  const make = async () => {
    const ttl = `${LIFETIME_MINUTES}m`
    const args = [LAUNCHER, 'token', '--sub', user, '--ttl', ttl]
    const { stdout } = await promisify(execFile)(process.execPath, args).catch(({ stderr, message }) => {
      throw new Error(`${String(stderr || message).trim()} Set AGENT_TOKEN to a token for this service.`)
    })
    return stdout.trim()
  }
  return () => {
    if (token === undefined || Date.now() > renewAt) {
      renewAt = Date.now() + (LIFETIME_MINUTES / 2) * 60_000
      token = make()
    }
    return token
  }
}
