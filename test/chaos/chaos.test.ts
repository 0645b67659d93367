import t from 'tap'
import { startCluster } from './cluster.ts'
import { runLoad } from './load.ts'
import { runPollers } from './polls.ts'

t.test(
  'conversations through misfortunes lose nothing, double nothing and end',
  { timeout: 240_000 },
  async (t) => {
    const cluster = await startCluster(2)
    t.teardown(() => cluster.stop())
    const notes: string[] = []
    const report = {
      note: (line: string) => void notes.push(line),
      result: (claim: string, holds: boolean) => void t.ok(holds, claim, { notes }),
    }
    const misfortunes = [
      'kill an instance',
      'swallow the answers of the engine',
      'cut the database off',
    ] as const
    await runLoad(
      cluster,
      {
        threads: 30,
        turns: 3,
        parallel: 6,
        seconds: 15,
        seed: Number(process.env.CHAOS_SEED ?? 7),
        everyMs: 3_000,
        misfortunes: [...misfortunes],
      },
      report,
    )
    await runPollers(cluster, report, { pollers: 50, seconds: 5 })
  },
)
