import t from 'tap'
import { startCluster } from './cluster.ts'
import { runLoad } from './load.ts'
import { runPollers } from './polls.ts'

t.test(
  'conversations lose no message, store none twice and end while instances, engine and database fail',
  { timeout: 240_000 },
  async (t) => {
    const cluster = await startCluster(2, {}, { AGENT_OFFLINE_WORD_MS: '2', LOCAL_ENGINE_CONCURRENCY: '3' })
    t.teardown(() => cluster.stop())
    const notes: string[] = []
    const report = {
      note: (line: string) => void notes.push(line),
      result: (claim: string, holds: boolean) => void t.ok(holds, claim, { notes }),
    }
    await runLoad(
      cluster,
      {
        threads: 10,
        turns: 3,
        parallel: 4,
        pauseMs: 300,
        seconds: 120,
        seed: Number(process.env.CHAOS_SEED ?? 7),
        everyMs: 1_000,
        // The database is cut off last, so that the instance which starts runs without it is not killed afterwards.
        misfortunes: ['kill an instance', 'swallow the answers of the engine', 'cut the database off'],
        hurry: true,
      },
      report,
    )
    await runPollers(cluster, report, { pollers: 50, seconds: 2 })
  },
)
