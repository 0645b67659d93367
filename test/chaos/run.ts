// npm run test:chaos [-- scenario…]: scenarios of crashes, outages and repetitions on processes of their own.
// The last line is "N passed, N failed".
import { setTimeout as sleep } from 'node:timers/promises'
import { stopClusters } from './cluster.ts'
import type { Report } from './report.ts'
import { PLAN, type Scenario } from './scenarios.ts'

/** The limit for all scenarios. They take about six minutes on a quiet machine, and longer on a busy one. */
const LIMIT_MS = Number(process.env.CHAOS_MINUTES ?? 10) * 60_000
/** Time to stop the clusters. The limit may have interrupted their scenarios. */
const STOP_MS = 20_000

// Each started process adds an exit listener to this process, so that no process outlives it.
process.setMaxListeners(0)

const chosen = process.argv.slice(2)
const tally = { passed: 0, failed: 0 }

const reportOf = (name: string): Report => ({
  note: (line) => console.log(`${name.padEnd(7)}     ${line}`),
  result(claim, holds) {
    tally[holds ? 'passed' : 'failed'] += 1
    console.log(`${name.padEnd(7)} ${holds ? 'ok     ' : 'not ok '} ${claim}`)
  },
})

async function play({ name, run }: Scenario): Promise<void> {
  if (chosen.length > 0 && !chosen.includes(name)) return
  const report = reportOf(name)
  const startedAt = performance.now()
  try {
    await run(report)
  } catch (error) {
    console.error(error)
    report.result(`${name} runs to its end`, false)
  }
  report.note(`${((performance.now() - startedAt) / 1_000).toFixed(0)} s`)
}

async function finish(): Promise<never> {
  await Promise.race([stopClusters(), sleep(STOP_MS)])
  console.log(`\n${tally.passed} passed, ${tally.failed} failed`)
  process.exit(tally.failed === 0 && tally.passed > 0 ? 0 : 1)
}

setTimeout(() => {
  reportOf('all').result(`all scenarios are over within ${LIMIT_MS / 60_000} minutes`, false)
  void finish()
}, LIMIT_MS)

for (const group of PLAN) {
  await Promise.all(
    group.map(async (line) => {
      for (const scenario of line) await play(scenario)
    }),
  )
}
await finish()
