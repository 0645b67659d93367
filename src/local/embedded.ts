import path from 'node:path'
import { readAgentSettings } from '../agent/settings.ts'
import type { AppConfig, Config } from '../config/config.ts'
import { schemaError } from '../lifecycle/schema-check.ts'
import type { Part } from '../lifecycle/start-lines.ts'
import { migrate, schemaState } from '../stores/migrations.ts'
import type { EngineLog } from './engine/log.ts'
import type { Log } from './postgres/log.ts'

export interface Embedded {
  /** The configuration, with a value for each embedded part that the environment does not name. */
  config: AppConfig
  /** The embedded parts and their addresses, for the start-up lines: database, run engine, model. */
  parts: Part[]
  /** Stops the embedded parts. The caller drains the service first. */
  stop(): Promise<void>
}

const AGENT_TASK = path.resolve(import.meta.dirname, '../trigger/agent-chat.ts')

export interface EmbeddedOptions {
  /** Whether changed code of the agent is loaded again, for development. */
  watchAgent?: boolean
  /** Called when the data folder has been deleted. The service cannot go on, and a new start makes a new folder. */
  onLost?: (error: Error) => void
}

/**
 * Starts the embedded database and the local engine, and makes a signing secret. Each of the three is left out when the
 * environment names one. When one part cannot be started, the started parts are stopped before the error is thrown.
 */
export async function startEmbedded(
  config: Config,
  log: EngineLog & Log,
  { watchAgent = false, onLost }: EmbeddedOptions = {},
): Promise<Embedded> {
  const stops: Array<() => Promise<void>> = []
  const parts: Record<'database' | 'engine', Part[]> = { database: [], engine: [] }
  const stop = async () => {
    for (const end of stops.splice(0).reverse()) await end()
  }
  try {
    const [databaseUrl, trigger, embeddedSecret] = await allOrFailure([
      config.database.url ?? database(),
      config.trigger.secretKey === undefined
        ? engine()
        : { ...config.trigger, secretKey: config.trigger.secretKey },
      config.auth.keys === undefined ? secret() : undefined,
    ])
    return {
      parts: [...parts.database, ...parts.engine],
      stop,
      config: {
        ...config,
        database: { ...config.database, url: databaseUrl },
        trigger,
        auth: {
          ...config.auth,
          keys: config.auth.keys ?? {
            kind: 'secrets',
            secrets: embeddedSecret === undefined ? [] : [embeddedSecret],
          },
        },
        ...(embeddedSecret === undefined ? {} : { embeddedSecret }),
      },
    }
  } catch (error) {
    await stop()
    throw error
  }

  async function database(): Promise<string> {
    const { startPostgres } = await import('./postgres.ts')
    const postgres = await startPostgres({ dataDir: config.localDataDir, log, ...(onLost ? { onLost } : {}) })
    stops.push(() => postgres.stop())
    const schema = await schemaState(postgres.url)
    if (schema.state === 'ahead') throw schemaError(schema)
    if (schema.state === 'behind') await migrate(postgres.url)
    parts.database.push({ name: 'embedded Postgres', where: `data in ${path.resolve(config.localDataDir)}` })
    return postgres.url
  }

  async function engine(): Promise<AppConfig['trigger']> {
    const { startLocalEngine } = await import('./engine/engine.ts')
    const { localSecret } = await import('./secret.ts')
    const running = await startLocalEngine({
      taskModules: [AGENT_TASK],
      secretKey: `tr_dev_${await localSecret(config.localDataDir, 'engine-key')}`,
      childEnv: config.agentEnvironment,
      watch: watchAgent,
      log,
    })
    stops.push(() => running.stop())
    parts.engine.push(
      { name: 'local run engine', where: `${running.url} (speaks Trigger.dev's API)` },
      { name: 'model', where: modelOf(config) },
    )
    return {
      ...config.trigger,
      apiUrl: running.url,
      secretKey: running.secretKey,
      callsPerMinute: 0,
      listLagMs: 0,
    }
  }

  async function secret(): Promise<string> {
    const { localSigningSecret } = await import('./secret.ts')
    return localSigningSecret(config.localDataDir)
  }
}

/** The name and the address of the model that answers, or a sentence that says how to get a real model. */
function modelOf({ agentEnvironment }: Config): string {
  const [model] = readAgentSettings(agentEnvironment).models
  if (model === undefined)
    return 'offline, answers without a network; for a real one set AGENT_MODEL and AGENT_MODEL_API_KEY'
  return `${agentEnvironment.AGENT_MODEL} at ${model.baseUrl}`
}

/** Like `Promise.all`, but rejects only after all have ended, because a part that is still starting must be stopped too. */
async function allOrFailure<T extends readonly unknown[]>(
  work: [...T],
): Promise<{ [K in keyof T]: Awaited<T[K]> }> {
  const results = await Promise.allSettled(work)
  for (const result of results) if (result.status === 'rejected') throw result.reason
  return results.map((result) => (result as PromiseFulfilledResult<unknown>).value) as never
}
