import { type Answer, type Instance, request } from '../cluster.ts'
import {
  answered,
  type Death,
  hangWithin,
  LONG_STORY,
  STORY,
  type Stage,
  start,
  statusOf,
  until,
} from './stage.ts'

const cancel = (instance: Instance, runId: string): Promise<Answer> =>
  request(instance, 'POST', `/api/agent/chat/${runId}/cancel`)

async function isWanted({ client }: Stage, runId: string): Promise<boolean> {
  const { rows } = await client.query(
    'select from runs where run_id = $1 and cancel_requested_at is not null',
    [runId],
  )
  return rows.length > 0
}

/** Deaths between the stored wish to cancel and the stored end. */
export const CANCELS: Death[] = [
  {
    name: 'the instance dies after it accepted a cancel',
    ways: ['crash', 'hang'],
    within: 15,
    async happen(stage) {
      const { body } = await start(stage.victim, { message: STORY })
      stage.victim.engine.toxics.hang = true
      cancel(stage.victim, body.runId).catch(() => {}) // This request gets no answer.
      await until(() => isWanted(stage, body.runId), 10_000)
      await stage.strike()
      return async () => (await statusOf(stage, body.runId)) === 'cancelled'
    },
  },
  {
    name: "the engine stops the run and the engine's answer is lost (200 with the run as it is)",
    within: 15,
    async happen(stage) {
      const { body } = await start(stage.victim, { message: STORY })
      stage.victim.engine.toxics.swallowAnswers = true
      await answered(stage, { status: 200, within: 5 }, () => cancel(stage.victim, body.runId))
      return async () => (await statusOf(stage, body.runId)) === 'cancelled'
    },
  },
  {
    name: 'a statement of a cancel takes too long (504; repeating it is safe)',
    within: 5,
    async happen(stage) {
      const { body } = await start(stage.victim, { message: LONG_STORY })
      await hangWithin(stage, { table: 'runs', condition: 'new.cancel_requested_at is not null' }, () =>
        answered(stage, { status: 504, within: 12 }, () => cancel(stage.victim, body.runId)),
      )
      return async () => (await cancel(stage.witness, body.runId)).body.status === 'cancelled'
    },
  },
]
