import { type Death, hangWithin, refuseWithin, start, statusOf, strikeWithin } from './stage.ts'

const ENDED = { table: 'runs', condition: `new.status = 'completed'` } as const

/** While the run goes on, and when its end is stored. */
export const ENDS: Death[] = [
  {
    name: 'the service dies while its run goes on (events lost)',
    ways: ['crash', 'hang'],
    within: 20,
    async happen(stage) {
      const { body } = await start(stage.victim, { message: 'What is 8 * 8?' })
      await stage.strike()
      return async () => (await statusOf(stage, body.runId)) === 'completed'
    },
  },
  {
    name: 'the service dies while it writes the end',
    ways: ['crash', 'hang'],
    within: 20,
    async happen(stage) {
      let runId = ''
      const act = async () => {
        runId = (await start(stage.victim, { message: 'What is 9 * 9?' })).body.runId
      }
      await strikeWithin(stage, ENDED, act)
      return async () => (await statusOf(stage, runId)) === 'completed'
    },
  },
  {
    name: 'the end cannot be written, and the service lives on',
    within: 20,
    async happen(stage) {
      const { body } = await refuseWithin(stage, ENDED, () =>
        start(stage.victim, { message: 'What is 7 * 9?' }),
      )
      return async () => (await statusOf(stage, body.runId)) === 'completed'
    },
  },
  {
    name: 'the database hangs while the end is written, and the service lives on',
    within: 20,
    async happen(stage) {
      const { body } = await hangWithin(stage, ENDED, () =>
        start(stage.victim, { message: 'What is 9 * 7?' }),
      )
      return async () => (await statusOf(stage, body.runId)) === 'completed'
    },
  },
  {
    name: 'the engine hangs for this instance while its run goes on (events lost)',
    // Eight seconds until the run is due, and 5 s and as long again when this instance claims it and finds out that it hangs.
    within: 30,
    async happen(stage) {
      const { body } = await start(stage.victim, { message: 'What is 7 * 7?' })
      stage.victim.engine.toxics.hang = true
      return async () => (await statusOf(stage, body.runId)) === 'completed'
    },
  },
]
