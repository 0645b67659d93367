import { buildApp } from '../app.ts'
import { type Config, ConfigError, loadConfig } from '../config/config.ts'
import { runProcess } from '../lifecycle/run-process.ts'
import { schemaCheck } from '../lifecycle/schema-check.ts'
import { drain, serve } from '../lifecycle/serve.ts'
import { startLines } from '../lifecycle/start-lines.ts'
import type { Embedded } from '../local/embedded.ts'
import { processLog } from '../telemetry/process-log.ts'
import { terminal } from '../telemetry/terminal.ts'

const config = readConfig()
const log = processLog(config.logLevel)
for (const setting of config.plainHttp)
  log.warn({ setting }, 'the address is plain http: what it carries can be read and changed on the way')

await runProcess(
  async ({ onEnd, fail }) => {
    const { startEmbedded } = await import('../local/embedded.ts')
    const watchAgent = process.argv.includes('--watch-agent')
    const embedded = await startEmbedded(config, log, { watchAgent, onLost: fail })
    onEnd(embedded.stop)

    const schema = schemaCheck(embedded.config.database.url, log)
    const isChecked = await schema.check()

    const stream = terminal()
    const app = buildApp(embedded.config, stream === undefined ? {} : { logger: { stream } })
    onEnd((signal) => drain(app, signal === 'SIGTERM' ? config.shutdownDelaySeconds * 1000 : 0))
    await app.ready()
    app.health.add('migrations', schema.passed)
    const address = await serve(app, config)
    announce(address, embedded)

    if (isChecked) return
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
  if (config.production) log.info({ address: origin }, 'ready')
  else console.log(startLines(origin, config, parts))
}
