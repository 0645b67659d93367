import { once } from 'node:events'
import { StartError } from '../../start-error.ts'
import { listen } from './address.ts'
import { COMPILE_CACHE } from './compile-cache.ts'
import { workerVersion } from './executions.ts'
import { idMaker, newBootId } from './ids.ts'
import { Keys } from './keys.ts'
import { Lifecycle } from './lifecycle.ts'
import type { EngineLog } from './log.ts'
import { PacketStore } from './packets.ts'
import { Pool } from './pool.ts'
import { buildServer } from './server.ts'
import { RunStore } from './store.ts'
import { DEFAULT_SWITCHES, type Switches } from './switches.ts'
import { watchTasks } from './watch.ts'

export interface EngineOptions {
  /** Absolute paths of the task files; tasks and queues are found in them. */
  taskModules: string[]
  host?: string
  /** 0, the default, takes a free port. */
  port?: number
  /** Address under which callers reach the engine when it is not `host`. Addresses of large outputs begin with it. */
  publicUrl?: string
  /** The bearer key that callers need ("tr_dev_…"). The children know it too. */
  secretKey: string
  /** Runs that are executed at the same time, each in its own child process. Default 8. */
  maxChildren?: number
  /** Idle children that have loaded the task files and wait for a run. Default 1. */
  spares?: number
  /** Bound of a child's resident memory, in bytes (Linux). A child that exceeds it is killed with its run. Default 1 GiB. */
  maxChildMemoryBytes?: number
  /** A child's environment, beside PATH, TZ, LANG, NODE_EXTRA_CA_CERTS and the address of the engine. */
  childEnv?: Record<string, string>
  log: EngineLog
  switches?: Partial<Switches>
  /** Whether children are replaced, so that they load the task files again, when a file in the folder of these files changes. */
  watch?: boolean
}

export interface LocalEngine {
  url: string
  secretKey: string
  /** The boot id. Every run id of this start begins with `run_` and the boot id. */
  bootId: string
  stats(): { runs: number; children: Pool['counts']; pids: number[] }
  /** Ends the children, closes all connections, and waits for both. */
  stop(): Promise<void>
}

const RETENTION = { ms: 24 * 3_600_000, runs: 10_000, bytes: 256 * 1024 * 1024 }
const CHILD_MEMORY_BYTES = 1024 ** 3
const OBJECT_STORE_BYTES = 256 * 1024 * 1024
/** The variables that a child inherits from the parent. */
const INHERITED = ['PATH', 'TZ', 'LANG', 'NODE_EXTRA_CA_CERTS']
/**
 * A task that needs more heap crashes its own child only. A small nursery and one helper thread save 30 MB for each
 * child.
 */
const NODE_FLAGS = ['--max-old-space-size=512', '--max-semi-space-size=1', '--v8-pool-size=1']

/**
 * Starts a server that speaks Trigger.dev's HTTP API and runs tasks in child processes. Resolves when the server
 * listens and the task files are loaded. Rejects when the task files cannot be loaded, or when the port is taken.
 */
export async function startLocalEngine(options: EngineOptions): Promise<LocalEngine> {
  const { secretKey, log, host = '127.0.0.1', port = 0 } = options
  const switches = { ...DEFAULT_SWITCHES, ...options.switches }
  const bootId = newBootId()
  const version = workerVersion(new Date())
  const store = new RunStore(RETENTION)
  const keys = new Keys()
  const packets = new PacketStore(secretKey, OBJECT_STORE_BYTES)
  const env: Record<string, string> = {
    ...inheritedEnv(),
    NODE_COMPILE_CACHE: COMPILE_CACHE,
    ...options.childEnv,
  }
  const { taskModules, maxChildren = 8, spares = 1 } = options
  const { maxChildMemoryBytes: maxMemoryBytes = CHILD_MEMORY_BYTES } = options
  const pool = new Pool({
    taskModules,
    env,
    nodeFlags: NODE_FLAGS,
    maxMemoryBytes,
    maxChildren,
    spares,
    isWatched: options.watch === true,
    log,
  })
  const lifecycle = new Lifecycle({ store, keys, pool, log, newId: idMaker(bootId), version })
  const view = { version, presign: (path: string) => packets.presign('GET', path) }
  const app = buildServer({ bootId, secretKey, store, keys, lifecycle, packets, view, switches }, log)
  store.on('forget', (run) => {
    keys.forget(run)
    for (const packet of [run.payload, run.output]) {
      if (packet?.dataType === 'application/store' && packet.data) packets.delete(packet.data)
    }
  })

  const stop = async () => {
    unwatch()
    lifecycle.stop()
    await Promise.all([app.close(), pool.stop()])
  }
  let unwatch = () => {}
  try {
    const { url, childUrl } = await listen(app, host, port)
    packets.serveAt(options.publicUrl ?? url)
    Object.assign(env, { TRIGGER_API_URL: childUrl, TRIGGER_SECRET_KEY: secretKey })
    await loadTasks(pool)
    const reload = () => {
      log.info({}, 'the local engine loads the task files again, because they have changed')
      pool.reload()
    }
    if (options.watch) unwatch = watchTasks(taskModules, reload)
    const stats = () => ({ runs: store.size, children: pool.counts, pids: pool.pids })
    return { url, secretKey, bootId, stats, stop }
  } catch (error) {
    await stop()
    throw error
  }
}

/** Starts the first children and waits until one of them has loaded the task files. */
async function loadTasks(pool: Pool): Promise<void> {
  const loaded = once(pool, 'manifest')
  const broken = once(pool, 'broken').then(([error]) => {
    throw new StartError(`The task files could not be loaded: ${error}`)
  })
  pool.open()
  await Promise.race([loaded, broken])
  broken.catch(() => undefined)
}

function inheritedEnv(): Record<string, string> {
  return Object.fromEntries(
    INHERITED.flatMap((name) => (process.env[name] ? [[name, process.env[name]]] : [])),
  )
}
