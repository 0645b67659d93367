/** A process with an engine in it, for tests that kill it: prints its address and children, and stays. */
import { startLocalEngine } from '../../../src/local/engine/engine.ts'

const [secretKey = '', ...taskModules] = process.argv.slice(2)
const log = { info() {}, warn() {}, error() {} }
const engine = await startLocalEngine({ taskModules, secretKey, maxChildren: 3, log })
console.log(JSON.stringify({ url: engine.url, pids: engine.stats().pids }))
