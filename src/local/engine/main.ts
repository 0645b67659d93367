/**
 * Process: the local engine on its own, shared by several instances of the service. It forgets its runs when it
 * ends: the service then reports those that were unfinished as `failed`, `worker_lost`.
 *
 * Environment: `TRIGGER_SECRET_KEY` (required; the services' own), `LOCAL_ENGINE_HOST` (127.0.0.1),
 * `LOCAL_ENGINE_PORT` (3040), `LOCAL_ENGINE_URL` (where services reach it, when that is another address),
 * `LOCAL_ENGINE_CONCURRENCY` (8 runs at a time, each in a process of some 100 MB), `LOCAL_ENGINE_LIST_LAG_MS` (0; lists
 * show runs of that age, as where they come from a replica), `LOCAL_ENGINE_LOSE_EVENTS` (0; the share of changes
 * that subscriptions are not told of), `LOG_LEVEL`, and what workers read: `AGENT_…` and `OTEL_…`. Keys may come
 * from files (`TRIGGER_SECRET_KEY_FILE`, `AGENT_MODEL_API_KEY_FILE`). `GET /healthcheck` answers `OK` without a key.
 */
import { flushCompileCache } from 'node:module'
import { fileURLToPath } from 'node:url'
import { readSecretFiles } from '../../config/secret-files.ts'
import { runProcess } from '../../lifecycle/run-process.ts'
import { explainListen, StartError } from '../../start-error.ts'
import { processLog } from '../../telemetry/process-log.ts'
import { cacheCompiledCode } from './compile-cache.ts'

cacheCompiledCode()
const { startLocalEngine } = await import('./engine.ts')

const TIMEOUT_SECONDS = 10
const { environment, faults } = readSecretFiles(process.env)
const {
  LOCAL_ENGINE_HOST: host = '127.0.0.1',
  LOCAL_ENGINE_PORT = '3040',
  LOCAL_ENGINE_URL: publicUrl,
  LOCAL_ENGINE_CONCURRENCY = '8',
  LOCAL_ENGINE_LIST_LAG_MS = '0',
  LOCAL_ENGINE_LOSE_EVENTS = '0',
  TRIGGER_SECRET_KEY: secretKey,
  LOG_LEVEL: level = 'info',
} = environment
const log = processLog(level)

await runProcess(
  async ({ onEnd }) => {
    if (faults.length > 0) throw new StartError(faults.join('\n'))
    const port = wholeNumber('LOCAL_ENGINE_PORT', LOCAL_ENGINE_PORT, 65_535)
    const maxChildren = wholeNumber('LOCAL_ENGINE_CONCURRENCY', LOCAL_ENGINE_CONCURRENCY, 1000)
    const listLagMs = wholeNumber('LOCAL_ENGINE_LIST_LAG_MS', LOCAL_ENGINE_LIST_LAG_MS, 60_000)
    const loseEvents = Number(LOCAL_ENGINE_LOSE_EVENTS)
    if (!(loseEvents >= 0 && loseEvents <= 1))
      throw new StartError('LOCAL_ENGINE_LOSE_EVENTS must be a share from 0 to 1')
    if (!secretKey) throw new StartError('TRIGGER_SECRET_KEY is required: the key that services must present')
    const engine = await startLocalEngine({
      taskModules: [fileURLToPath(new URL('../../trigger/agent-chat.ts', import.meta.url))],
      host,
      port,
      secretKey,
      maxChildren,
      childEnv: workerEnvironment(),
      switches: { listLagMs, loseEvents },
      log,
      ...(publicUrl ? { publicUrl } : {}),
    }).catch((error: unknown) => {
      throw explainListen(error, { host, port }, 'LOCAL_ENGINE_PORT or LOCAL_ENGINE_HOST')
    })
    onEnd(engine.stop)
    log.info({ url: engine.url }, `the local engine listens on ${engine.url}`)
    // Node writes its compile cache at a normal exit only, and this process may end by a signal.
    flushCompileCache()
  },
  { log, timeoutSeconds: TIMEOUT_SECONDS },
)

function wholeNumber(name: string, text: string, max: number): number {
  const value = Number(text)
  if (Number.isInteger(value) && value >= 0 && value <= max) return value
  throw new StartError(`${name} must be a whole number up to ${max}`)
}

/** The variables that the agent reads in a worker. Nothing else of this process's environment is passed on. */
function workerEnvironment(): Record<string, string> {
  const names = Object.keys(environment).filter((name) => /^(AGENT|OTEL)_/.test(name))
  return Object.fromEntries(names.map((name) => [name, environment[name] ?? '']))
}
