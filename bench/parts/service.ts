// The service with the parts and settings of production, in a process that reports its CPU time and memory.
import { buildApp } from '../../src/app.ts'
import { loadConfig } from '../../src/config/config.ts'
import { terminal } from '../../src/telemetry/terminal.ts'
import { serveParent } from './child.ts'

const stream = terminal()
const app = buildApp(
  loadConfig(process.env) as Parameters<typeof buildApp>[0],
  stream === undefined ? {} : { logger: { stream } },
)
await app.ready()
if (process.env.BENCH_WITHOUT_ENGINE !== undefined) {
  let runs = 0
  app.engine.start = async () => `run_here${process.pid}x${++runs}`
}
serveParent(await app.listen({ host: '127.0.0.1', port: 0 }))
