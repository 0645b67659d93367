import { type Death, STORY, type Stage, start, statusOf, until } from './stage.ts'

/** Cuts the engine off from all instances and lets the deadline of a run pass. */
async function pastDeadline(stage: Stage): Promise<() => Promise<boolean>> {
  const { body } = await start(stage.witness, { message: STORY })
  // A run gets a new deadline when it begins.
  await until(async () => (await statusOf(stage, body.runId)) === 'running', 20_000)
  for (const { engine } of stage.cluster.instances) {
    if (stage.way === 'crash') await engine.cut()
    else engine.toxics.hang = true
  }
  await stage.client.query('update runs set deadline_at = now(), check_at = now() where run_id = $1', [
    body.runId,
  ])
  return async () => (await statusOf(stage, body.runId)) === 'failed'
}

/** Deaths of the engine and its workers. */
export const ENGINES: Death[] = [
  {
    name: 'a worker is killed',
    // The observer hears of the end at once. If the engine loses the event, the sweeper asks when the run is due.
    within: 15,
    async happen(stage) {
      const { body } = await start(stage.witness, { message: STORY })
      await until(async () => (await statusOf(stage, body.runId)) === 'running', 20_000)
      for (const pid of stage.cluster.engine.workers()) process.kill(pid, 'SIGKILL')
      return async () => (await statusOf(stage, body.runId)) === 'failed'
    },
  },
  {
    name: 'the engine dies and is still away at the deadline of a run',
    ways: ['crash', 'hang'],
    within: 15,
    happen: pastDeadline,
  },
  {
    name: 'the engine is killed and starts anew',
    within: 30,
    async happen(stage) {
      const { body } = await start(stage.witness, { message: STORY })
      await stage.cluster.engine.process.kill()
      await stage.cluster.engine.process.start()
      return async () => (await statusOf(stage, body.runId)) === 'failed'
    },
  },
]
