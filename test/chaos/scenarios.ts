import type { Cluster } from './cluster.ts'
import { runLoad } from './load.ts'
import type { Report } from './report.ts'

export interface Scenario {
  name: string
  instances: number
  environment?: Record<string, string>
  run(cluster: Cluster, report: Report): Promise<void>
}

export const SCENARIOS: Scenario[] = [
  {
    name: 'load',
    instances: 3,
    run: (cluster, report) =>
      runLoad(
        cluster,
        {
          threads: 1_000,
          turns: 2,
          parallel: 24,
          seconds: Number(process.env.S ?? 180),
          seed: Date.now() % 100_000,
          everyMs: 5_000,
        },
        report,
      ),
  },
]
