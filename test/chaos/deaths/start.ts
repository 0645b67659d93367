import { randomUUID } from 'node:crypto'
import {
  answered,
  answeredOnce,
  type Death,
  hangWithin,
  nothingLeft,
  start,
  statusOf,
  strikeWithin,
} from './stage.ts'

const STORED = { table: 'turns', condition: `new.state = 'dispatching'` } as const

/** Deaths while the turn is being stored. */
export const STARTS: Death[] = [
  {
    name: 'the instance dies before the turn is stored',
    ways: ['crash'],
    within: 5,
    async happen(stage) {
      const message = `before ${randomUUID()}`
      await strikeWithin(stage, STORED, () => start(stage.victim, { message }))
      return () => nothingLeft(stage, message)
    },
  },
  {
    name: 'a statement of a start takes too long (504; nothing is stored)',
    within: 5,
    async happen(stage) {
      const message = `too long ${randomUUID()}`
      const ask = () => start(stage.victim, { message })
      await hangWithin(stage, STORED, () => answered(stage, { status: 504, within: 12 }, ask))
      return () => nothingLeft(stage, message)
    },
  },
  {
    name: "the database's answer is lost in a start (202 without conversation)",
    within: 10,
    async happen(stage) {
      const message = `answered ${randomUUID()}`
      stage.victim.database.toxics.swallowAnswers = true
      const ask = () => start(stage.victim, { message })
      const { body } = await answered(stage, { status: 202, within: 12 }, ask)
      await stage.victim.database.mend()
      return async () => (await statusOf(stage, body.runId)) === 'completed' && answeredOnce(stage, message)
    },
  },
  {
    name: "the database's answer is lost in a start in a conversation (503; the turn is removed)",
    within: 20,
    async happen(stage) {
      const { victim, witness } = stage
      const { conversationId } = (await start(witness, { message: 'hello' })).body
      const message = `removed ${randomUUID()}`
      victim.database.toxics.swallowAnswers = true
      await answered(stage, { status: 503, within: 12 }, () => start(victim, { message, conversationId }))
      await victim.database.mend()
      return () => nothingLeft(stage, message)
    },
  },
  {
    name: 'the database goes away in a start (202 without conversation)',
    within: 10,
    async happen(stage) {
      await stage.victim.database.cut()
      const ask = () => start(stage.victim, { message: 'What is 3 + 4?' })
      const { body } = await answered(stage, { status: 202, within: 10 }, ask)
      await stage.victim.database.mend()
      return async () => (await statusOf(stage, body.runId)) === 'completed'
    },
  },
  {
    name: 'the run of a start without the database fails, and another instance gets its key (202 with the same run)',
    within: 10,
    async happen(stage) {
      const { victim, witness } = stage
      const key = randomUUID()
      await victim.database.cut()
      const ask = () => start(victim, { message: '[[fail]]' }, key)
      const { body } = await answered(stage, { status: 202, within: 10 }, ask)
      const retry = await start(witness, { message: '[[fail]]' }, key)
      if (retry.body.runId !== body.runId) throw new Error(`${retry.body.runId} and not ${body.runId}`)
      return async () => (await statusOf(stage, body.runId)) === 'failed'
    },
  },
  {
    name: 'the database goes away in a start, and the instance dies before the database is back',
    ways: ['crash', 'hang'],
    within: 20,
    async happen(stage) {
      await stage.victim.database.cut()
      const ask = () => start(stage.victim, { message: 'What is 3 + 5?' })
      const { body } = await answered(stage, { status: 202, within: 10 }, ask)
      await stage.strike()
      await stage.victim.database.mend()
      return async () => (await statusOf(stage, body.runId)) === 'completed'
    },
  },
]
