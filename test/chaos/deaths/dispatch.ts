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

/** Between the turn's row and the engine's answer. */
export const DISPATCHES: Death[] = [
  {
    name: 'the service dies before the dispatch (no key: the turn goes)',
    ways: ['crash', 'hang'],
    within: 20,
    async happen(stage) {
      const message = `undispatched ${randomUUID()}`
      await strikeUndispatched(stage, { message })
      return () => nothingLeft(stage, message)
    },
  },
  {
    name: 'the service dies before the dispatch (with a key: the retry has its run)',
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
    name: 'a turn waits behind one whose service dies',
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
    name: 'the engine hangs in the dispatch (503; no key: the turn goes)',
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
    name: 'the engine takes the run and its answer is lost (503; no key: run stopped, turn gone)',
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
    name: 'the same with a key: the retry finds the run',
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
