import { fileURLToPath } from 'node:url'
import { configure, runs, streams, tasks } from '@trigger.dev/sdk'
import t from 'tap'
import { startLocalEngine } from '../../../src/local/engine/engine.ts'

const log = { info() {}, warn() {}, error() {} }
const engine = await startLocalEngine({
  taskModules: [fileURLToPath(new URL('./tasks/basic.ts', import.meta.url))],
  secretKey: 'tr_dev_engine_test',
  log,
})
t.teardown(() => engine.stop())
configure({ baseURL: engine.url, accessToken: engine.secretKey })

t.test('a task that the SDK triggers runs in a child and returns its output', async (t) => {
  const { id } = await tasks.trigger('echo', { a: 1 })
  for await (const run of runs.subscribeToRun(id)) if (run.isCompleted) break
  t.match(await runs.retrieve(id), { status: 'COMPLETED', output: { echoed: { a: 1 } }, attemptCount: 1 })
})

t.test('what a task pipes arrives at a reader in order, and the stream ends with the run', async (t) => {
  const { id } = await tasks.trigger('writer', { count: 5, gapMs: 20 })
  const parts = []
  for await (const part of await streams.read(id, 'words')) parts.push(part)
  t.same(parts, [{ n: 0 }, { n: 1 }, { n: 2 }, { n: 3 }, { n: 4 }])
})
