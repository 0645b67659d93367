import { resolve } from 'node:path'
import { buildApp } from './app.ts'
import { type Config, ConfigError, loadConfig } from './config.ts'
import { runProcess } from './lifecycle/run-process.ts'
import { schemaCheck } from './lifecycle/schema-check.ts'
import { drain, serve } from './lifecycle/serve.ts'
import type { Embedded } from './local/embedded.ts'
import { DEFAULT_DATA_DIR } from './settings.ts'
import { processLog } from './telemetry/process-log.ts'

const config = readConfig()
const log = processLog(config.logLevel)
for (const setting of config.plainHttp)
  log.warn({ setting }, 'the address is plain http: what it carries can be read and changed on the way')

await runProcess(
  async ({ onEnd, fail }) => {
    const { startEmbedded } = await import('./local/embedded.ts')
    const embedded = await startEmbedded(config, log, { watchAgent: process.argv.includes('--watch-agent') })
    onEnd(embedded.stop)

    const schema = schemaCheck(embedded.config.database.url, log)
    const isThere = await schema.look()

    const app = buildApp(embedded.config)
    onEnd((signal) => drain(app, signal === 'SIGTERM' ? config.shutdownDelaySeconds * 1000 : 0))
    await app.ready()
    app.health.add('migrations', schema.passed)
    const address = await serve(app, config)
    announce(address, embedded)

    if (isThere) return
    const leaving = new AbortController()
    onEnd(async () => leaving.abort())
    schema.untilKnown(leaving.signal).catch(fail)
  },
  { log, timeoutSeconds: config.shutdownTimeoutSeconds },
)

function readConfig(): Config {
  try {
    return loadConfig(process.env)
  } catch (error) {
    console.error(error instanceof ConfigError ? error.message : error)
    process.exit(1)
  }
}

function announce(origin: string, { parts }: Embedded): void {
  const address = origin.replace('[::1]', 'localhost').replace('127.0.0.1', 'localhost')
  const lines = [
    `agent-chat-service  ${address}`,
    `API description     ${address}/docs`,
    ...parts.map(({ name, where }) => `${name.padEnd(20)}${where}`),
    '',
    'Say something:',
    `  curl -s ${address}/api/agent/chat -H "authorization: Bearer ${tokenFor('alice')}" \\`,
    `    -H 'content-type: application/json' -d '{"message":"What is 17 * 23?"}'`,
  ]
  if (config.production) log.info({ address: origin }, 'ready')
  else console.log(`\n${lines.map((line) => `  ${line}`).join('\n')}\n`)
}

/** Shell that makes a token this service takes: pasted into another terminal, it knows nothing of this one. */
function tokenFor(sub: string): string {
  if (config.auth.keys?.kind === 'jwks') return '$TOKEN'
  const isElsewhere = config.auth.keys === undefined && config.localDataDir !== DEFAULT_DATA_DIR
  const folder = `'${resolve(config.localDataDir).replaceAll("'", "'\\''")}'`
  return `$(${isElsewhere ? `LOCAL_DATA_DIR=${folder} ` : ''}npm run -s token -- --sub ${sub})`
}
