import { randomUUID } from 'node:crypto'
import {
  answered,
  type Death,
  nothingLeft,
  refuseWithin,
  start,
  statusOf,
  strikeWithin,
  until,
} from './stage.ts'

const RECORDED = { table: 'runs', condition: `new.status = 'queued'` } as const

/** Deaths between the engine's answer and the stored run id. */
export const RECORDS: Death[] = [
  {
    name: 'the instance dies before the run id is stored',
    ways: ['crash', 'hang'],
    within: 20,
    async happen(stage) {
      const message = `unrecorded ${randomUUID()}`
      await strikeWithin(stage, RECORDED, () => start(stage.victim, { message }, message))
      return async () => {
        const { rows } = await stage.client.query(
          'select status from turns join runs on runs.turn_id = turns.id where idempotency_key = $1',
          [message],
        )
        return rows.length === 1 && rows[0].status === 'completed'
      }
    },
  },
  {
    name: 'the run id cannot be stored by the start (202; it is stored later)',
    // The instance tries again after 1.2 s, and the sweeper asks for the run within 2 s of that.
    within: 6,
    async happen(stage) {
      const ask = () => start(stage.victim, { message: 'Tell a story with 20 sentences.' })
      const isSeen = async (runId: string) => ['running', 'completed'].includes(await statusOf(stage, runId))
      const { body } = await refuseWithin(
        stage,
        RECORDED,
        () => answered(stage, { status: 202, within: 10 }, ask),
        // The observer may store the run id first.
        (answer) => isSeen(answer.body.runId),
      )
      return () => isSeen(body.runId)
    },
  },
  {
    name: 'the database hangs for this instance before the run id is stored (202; another instance stores it)',
    within: 20,
    async happen(stage) {
      const { victim } = stage
      const message = `hung ${randomUUID()}`
      victim.engine.toxics.delayMs = 400
      const ask = () => start(victim, { message })
      const asked = answered(stage, { status: 202, within: 12 }, ask)
      asked.catch(() => {}) // It is awaited below.
      if (!(await until(async () => !(await nothingLeft(stage, message)), 10_000)))
        throw new Error('the turn was not stored')
      victim.database.toxics.hang = true
      const { body } = await asked
      return async () => (await statusOf(stage, body.runId)) === 'completed'
    },
  },
]
