import { type Death, hangWithin, refuseWithin, start, statusOf, strikeWithin } from './stage.ts'

const ENDED = { table: 'runs', condition: `new.status = 'completed'` } as const

/** Deaths while the run goes on, and while its end is stored. */
export const ENDS: Death[] = [
  {
    name: 'the instance dies while its run goes on (events lost)',
    ways: ['crash', 'hang'],
    within: 20,
    async happen(stage) {
      const { body } = await start(stage.victim, { message: 'What is 8 * 8?' })
      await stage.strike()
      return async () => (await statusOf(stage, body.runId)) === 'completed'
    },
  },
  {
    name: 'the instance dies while it stores the end',
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
    name: 'the database refuses to store the end, and the instance lives on',
    within: 20,
    async happen(stage) {
      const { body } = await refuseWithin(stage, ENDED, () =>
        start(stage.victim, { message: 'What is 7 * 9?' }),
      )
      return async () => (await statusOf(stage, body.runId)) === 'completed'
    },
  },
  {
    name: 'the database hangs while the end is stored, and the instance lives on',
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
    // The run is due after 8 s. When the instance whose engine hangs claims it, it finds out after 5 s, and the run is
    // due for the other instance 8 s later.
    within: 30,
    async happen(stage) {
      const { body } = await start(stage.victim, { message: 'What is 7 * 7?' })
      stage.victim.engine.toxics.hang = true
      return async () => (await statusOf(stage, body.runId)) === 'completed'
    },
  },
]
