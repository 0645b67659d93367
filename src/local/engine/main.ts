/** Process: the local engine on its own, e.g. to share it between services. */
import { fileURLToPath } from 'node:url'
import { pino } from 'pino'
import { startLocalEngine } from './engine.ts'

const { LOCAL_ENGINE_HOST = '127.0.0.1', LOCAL_ENGINE_PORT = '3040', TRIGGER_SECRET_KEY } = process.env
const log = pino()

if (!TRIGGER_SECRET_KEY) {
  log.fatal('TRIGGER_SECRET_KEY is required: the key that callers of the engine must present')
  process.exit(1)
}

const engine = await startLocalEngine({
  taskModules: [fileURLToPath(new URL('../../trigger/agent-chat.ts', import.meta.url))],
  host: LOCAL_ENGINE_HOST,
  port: Number(LOCAL_ENGINE_PORT),
  secretKey: TRIGGER_SECRET_KEY,
  log,
})
log.info({ url: engine.url }, 'local engine listens')

const stop = async () => {
  await engine.stop()
  process.exit(0)
}
process.once('SIGTERM', stop)
process.once('SIGINT', stop)
