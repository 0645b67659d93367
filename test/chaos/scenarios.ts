import type { Cluster } from './cluster.ts'
import { runDeaths } from './deaths.ts'
import { runLoad } from './load.ts'
import { runManyRuns, runPollers } from './polls.ts'
import type { Report } from './report.ts'
import { runSingleStarts } from './single.ts'

export interface Scenario {
  name: string
  instances: number
  environment?: Record<string, string>
  workerEnvironment?: Record<string, string>
  run(cluster: Cluster, report: Report): Promise<void>
}

/** Together they take less than ten minutes on two cores. */
export const SCENARIOS: Scenario[] = [
  { name: 'single', instances: 3, run: runSingleStarts },
  {
    name: 'polls',
    instances: 1,
    async run(cluster, report) {
      await runPollers(cluster, report, { pollers: 200, seconds: 30 })
      await runManyRuns(cluster, report, { runs: 500 })
    },
  },
  { name: 'deaths', instances: 2, run: (cluster, report) => runDeaths(cluster, report) },
  {
    name: 'load',
    instances: 3,
    workerEnvironment: { AGENT_OFFLINE_WORD_MS: '1' },
    run: (cluster, report) =>
      runLoad(
        cluster,
        {
          threads: 1_000,
          turns: 2,
          parallel: 32,
          pauseMs: 0,
          seconds: Number(process.env.CHAOS_SECONDS ?? 210),
          seed: Number(process.env.CHAOS_SEED ?? Date.now() % 100_000),
          everyMs: 1_500,
        },
        report,
      ),
  },
]
