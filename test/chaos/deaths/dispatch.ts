import { randomUUID } from 'node:crypto'
import {
  answered,
  type Death,
  LONG_STORY,
  nothingLeft,
  start,
  statusOf,
  strikeUndispatched,
} from './stage.ts'

/** Deaths between the turn's row and the engine's answer. */
export const DISPATCHES: Death[] = [
  {
    name: 'the instance dies before the dispatch (without a key: the turn is removed)',
    ways: ['crash', 'hang'],
    within: 20,
    async happen(stage) {
      const message = `undispatched ${randomUUID()}`
      await strikeUndispatched(stage, { message })
      return () => nothingLeft(stage, message)
    },
  },
  {
    name: 'the instance dies before the dispatch (with a key: the retry gets a run)',
    ways: ['crash', 'hang'],
    within: 25,
    async happen(stage) {
      const message = `undispatched ${randomUUID()}`
      await strikeUndispatched(stage, { message }, message)
      return async () => {
        const { status, body } = await start(stage.witness, { message }, message)
        return status === 202 && (await statusOf(stage, body.runId)) === 'completed'
      }
    },
  },
  {
    name: 'a turn waits behind a turn whose instance dies',
    ways: ['crash', 'hang'],
    within: 20,
    async happen(stage) {
      const { conversationId } = (await start(stage.witness, { message: 'hello' })).body
      const body = { message: `undispatched ${randomUUID()}`, conversationId }
      await strikeUndispatched(stage, body)
      const key = randomUUID()
      return async () => {
        const message = 'What was my last message?'
        const { status } = await start(stage.witness, { message, conversationId }, key)
        return status === 202
      }
    },
  },
  {
    name: 'the engine hangs in the dispatch (503; without a key: the turn is removed)',
    within: 20,
    async happen(stage) {
      const message = `${LONG_STORY} ${randomUUID()}`
      stage.victim.engine.toxics.hang = true
      await answered(stage, { status: 503, within: 12 }, () => start(stage.victim, { message }))
      await stage.victim.engine.mend()
      return () => nothingLeft(stage, message)
    },
  },
  {
    name: "the engine makes the run and the engine's answer is lost (503; without a key: run stopped, turn removed)",
    within: 20,
    async happen(stage) {
      const message = `${LONG_STORY} ${randomUUID()}`
      stage.victim.engine.toxics.swallowAnswers = true
      await answered(stage, { status: 503, within: 12 }, () => start(stage.victim, { message }))
      await stage.victim.engine.mend()
      return () => nothingLeft(stage, message)
    },
  },
  {
    name: "the engine makes the run and the engine's answer is lost (with a key: the retry finds the run)",
    within: 5,
    async happen(stage) {
      const message = `found ${randomUUID()}`
      stage.victim.engine.toxics.swallowAnswers = true
      await answered(stage, { status: 503, within: 12 }, () => start(stage.victim, { message }, message))
      await stage.victim.engine.mend()
      return async () => {
        const { status, body } = await start(stage.witness, { message }, message)
        return status === 202 && (await statusOf(stage, body.runId)) === 'completed'
      }
    },
  },
]
