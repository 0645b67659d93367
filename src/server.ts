import { pino } from 'pino'
import { buildApp } from './app.ts'
import { type Config, ConfigError, loadConfig } from './config.ts'
import type { Embedded } from './local/embedded.ts'
import { schemaState } from './stores/migrations.ts'

const config = readConfig()
const log = pino({ level: config.logLevel })
await main().catch((error: unknown) => fail(error))

async function main(): Promise<void> {
  const { startEmbedded } = await import('./local/embedded.ts')
  const embedded = await startEmbedded(config, log)
  try {
    await checkSchema(embedded.config.database.url)
    const app = buildApp(embedded.config)
    endOn(['SIGTERM', 'SIGINT'], app, embedded)
    await app.listen({ host: config.host, port: config.port })
    announce(app.listeningOrigin, embedded)
  } catch (error) {
    await embedded.stop()
    throw error
  }
}

function readConfig(): Config {
  try {
    return loadConfig(process.env)
  } catch (error) {
    console.error(error instanceof ConfigError ? error.message : error)
    process.exit(1)
  }
}

/** A schema of another version stops the start; a database that is away does not: readiness waits for it. */
async function checkSchema(databaseUrl: string): Promise<void> {
  const schema = await schemaState(databaseUrl).catch((error: unknown) => {
    log.warn({ err: error }, 'the database cannot be reached yet')
    return { state: 'current' as const }
  })
  if (schema.state === 'current') return
  const names = schema.migrations.join(', ')
  throw new Error(
    schema.state === 'behind'
      ? `The database lacks migrations (${names}). Run: npm run migrate`
      : `The database has migrations that this version does not know (${names}). Deploy the newer version.`,
  )
}

/** First signal: drain, then end the embedded parts. Second signal, or no end in time: out at once. */
function endOn(signals: NodeJS.Signals[], app: ReturnType<typeof buildApp>, embedded: Embedded): void {
  let ending = false
  const end = async (signal: string) => {
    if (ending) process.exit(1)
    ending = true
    log.info({ signal }, 'draining')
    setTimeout(() => {
      log.error('not drained in time')
      process.exit(1)
    }, config.shutdownTimeoutSeconds * 1000).unref()
    app.health.drain()
    await app.close()
    await embedded.stop()
    process.exit(0)
  }
  for (const signal of signals) process.on(signal, () => void end(signal).catch(fail))
  process.on('unhandledRejection', fail)
  process.on('uncaughtException', fail)
}

function announce(origin: string, { parts }: Embedded): void {
  const address = origin.replace('[::1]', 'localhost').replace('127.0.0.1', 'localhost')
  const lines = [
    `agent-chat-service  ${address}`,
    `API description     ${address}/docs`,
    ...parts.map(({ name, where }) => `${name.padEnd(20)}${where}`),
    '',
    'Say something:',
    `  curl -s ${address}/api/agent/chat -H "authorization: Bearer $(npm run -s token -- --sub alice)" \\`,
    `    -H 'content-type: application/json' -d '{"message":"What is 17 * 23?"}'`,
  ]
  if (config.production) log.info({ address: origin }, 'ready')
  else console.log(`\n${lines.map((line) => `  ${line}`).join('\n')}\n`)
}

function fail(error: unknown): never {
  log.fatal({ err: error }, error instanceof Error ? error.message : 'the process cannot go on')
  process.exit(1)
}
