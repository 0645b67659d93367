/**
 * Process: what the image's HEALTHCHECK runs. Exit code 0 when the service that PORT and HOST of the environment
 * speak of is alive. Alive, not ready: whoever restarts instances because the database is away makes it worse.
 */
const { HOST = '', PORT = '' } = process.env

/** A service that listens on all addresses also listens on the loopback. */
const LOOPBACKS: Record<string, string> = { '': '127.0.0.1', '0.0.0.0': '127.0.0.1', '::': '::1' }

const host = LOOPBACKS[HOST.trim()] ?? HOST.trim()
const address = `http://${host.includes(':') ? `[${host}]` : host}:${PORT.trim() || 3000}/livez`
const isAlive = await fetch(address).then(
  ({ ok }) => ok,
  () => false,
)
process.exit(isAlive ? 0 : 1)
