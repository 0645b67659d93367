import type { FastifyPluginAsync } from 'fastify'
import { Run, RunStarted, RunSummary, ToolCall } from '../../../../src/schemas/run.ts'
import { TurnBody } from '../../../../src/schemas/turn.ts'
import cancel from './cancel.ts'
import list from './list.ts'
import poll from './poll.ts'
import start from './start.ts'
import sync from './sync.ts'

/** /api/agent/chat: turns and their runs. */
const chat: FastifyPluginAsync = async (app) => {
  for (const schema of [Run, RunStarted, RunSummary, ToolCall, TurnBody]) app.addSchema(schema)
  for (const route of [start, sync, list, poll, cancel]) app.register(route)
}

export default chat
