/**
 * A process with an engine in it: for tests that kill it, and for those with so many children that tap's additions
 * to the environment (they double the time that a child takes to start) would count. The options are the argument.
 * Prints its address and the pids of its children, the latter again for every line that it gets.
 */
import { flushCompileCache } from 'node:module'
import { createInterface } from 'node:readline'
import { cacheCompiledCode } from '../../../src/local/engine/compile-cache.ts'
import type { EngineOptions } from '../../../src/local/engine/engine.ts'

cacheCompiledCode()
const { startLocalEngine } = await import('../../../src/local/engine/engine.ts')

const options = JSON.parse(process.argv[2] ?? '') as Omit<EngineOptions, 'log'>
const log = { info() {}, warn() {}, error() {} }
const engine = await startLocalEngine({ ...options, log })
const report = () => console.log(JSON.stringify({ url: engine.url, pids: engine.stats().pids }))
flushCompileCache()
report()
createInterface({ input: process.stdin }).on('line', report)
process.once('SIGTERM', async () => {
  await engine.stop()
  process.exit(0)
})
