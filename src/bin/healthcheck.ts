/**
 * Process: the HEALTHCHECK of the image. Exits with 0 when the service at HOST and PORT of the environment is alive. It
 * asks whether the service is alive, not whether it is ready, because restarting instances does not bring a database
 * back.
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
