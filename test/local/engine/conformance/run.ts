/** Process: tries the cases against a Trigger.dev server and prints what it does. See README.md. */
import { cases } from './cases.ts'
import { Unable } from './suite.ts'
import { openTarget } from './target.ts'

const { TRIGGER_API_URL: url, TRIGGER_SECRET_KEY: secretKey } = process.env
if (!url !== !secretKey) {
  const [set, missing] = url
    ? ['TRIGGER_API_URL', 'TRIGGER_SECRET_KEY']
    : ['TRIGGER_SECRET_KEY', 'TRIGGER_API_URL']
  console.error(
    `${set} is set and ${missing} is not: it takes both to reach a server, and neither for the local engine`,
  )
  process.exit(1)
}
const target = await openTarget(url && secretKey ? { url, secretKey } : undefined)
const counts = { passed: 0, failed: 0, skipped: 0 }
console.log(`server: ${url && secretKey ? url : 'local engine'}`)

for (const { name, run } of cases) {
  const from = performance.now()
  try {
    await run(target)
    counts.passed++
    console.log(`pass  ${name} (${Math.round(performance.now() - from)} ms)`)
  } catch (error) {
    const unable = error instanceof Unable
    counts[unable ? 'skipped' : 'failed']++
    console.log(unable ? `skip  ${name}: ${error.message}` : `FAIL  ${name}`)
    if (!unable) console.log(error instanceof Error ? error.stack?.replace(/^/gm, '      ') : error)
  }
}
await target.stop()
console.log(`${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`)
process.exit(counts.failed > 0 ? 1 : 0)
