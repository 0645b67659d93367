/**
 * A process with an engine in it, for tests that kill it: prints its address and the pids of its children, the
 * latter again for every line that it gets.
 */
import { createInterface } from 'node:readline'
import { startLocalEngine } from '../../../src/local/engine/engine.ts'

const [secretKey = '', ...taskModules] = process.argv.slice(2)
const log = { info() {}, warn() {}, error() {} }
const engine = await startLocalEngine({ taskModules, secretKey, maxChildren: 3, log })
const report = () => console.log(JSON.stringify({ url: engine.url, pids: engine.stats().pids }))
report()
createInterface({ input: process.stdin }).on('line', report)
