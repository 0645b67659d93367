import { type Cluster, startCluster } from './cluster.ts'
import { runDeaths } from './deaths.ts'
import { runLoad } from './load.ts'
import { runManyRuns, runPollers } from './polls.ts'
import { runQueue } from './queue.ts'
import type { Report } from './report.ts'
import { runSingleStarts } from './single.ts'

export interface Scenario {
  name: string
  run(report: Report): Promise<void>
}

async function onCluster(
  cluster: Promise<Cluster>,
  work: (cluster: Cluster) => Promise<void>,
): Promise<void> {
  const started = await cluster
  try {
    await work(started)
  } finally {
    await started.stop()
  }
}

const SINGLE: Scenario = {
  name: 'single',
  run: (report) =>
    onCluster(startCluster(3, { RATE_LIMIT_START_MAX: '30', RATE_LIMIT_READ_MAX: '600' }), (cluster) =>
      runSingleStarts(cluster, report),
    ),
}

const QUEUE: Scenario = {
  name: 'queue',
  run: (report) => onCluster(startCluster(3), (cluster) => runQueue(cluster, report)),
}

const POLLS: Scenario = {
  name: 'polls',
  run: (report) =>
    onCluster(startCluster(1), async (cluster) => {
      await runPollers(cluster, report, { pollers: 200, seconds: 30 })
      await runManyRuns(cluster, report, { runs: 500 })
    }),
}

const DEATHS: Scenario = {
  name: 'deaths',
  run: (report) =>
    runDeaths(report, process.env.CHAOS_DEATHS ? new RegExp(process.env.CHAOS_DEATHS) : undefined),
}

const LOAD: Scenario = {
  name: 'load',
  run: (report) =>
    onCluster(startCluster(3, {}, { AGENT_OFFLINE_WORD_MS: '1' }), (cluster) =>
      runLoad(
        cluster,
        {
          threads: 1_000,
          turns: 3,
          parallel: 32,
          pauseMs: 0,
          seconds: Number(process.env.CHAOS_SECONDS ?? 280),
          seed: Number(process.env.CHAOS_SEED ?? Date.now() % 100_000),
          everyMs: 1_500,
        },
        report,
      ),
    ),
}

/**
 * The groups are played one after the other, and the lines of a group at the same time: most of a death is waiting.
 * Scenarios that need the processor have a group of their own.
 */
export const PLAN: Scenario[][][] = [[[DEATHS], [SINGLE, QUEUE]], [[POLLS]], [[LOAD]]]
