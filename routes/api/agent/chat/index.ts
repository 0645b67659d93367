import type { FastifyPluginAsync } from 'fastify'
import type { TurnRoutes } from '../../../../src/http/start-turn.ts'
import { PendingAction } from '../../../../src/schemas/action.ts'
import { RetryBody } from '../../../../src/schemas/retry.ts'
import { EndedRun, Run, RunStarted, RunSummary, ToolCall } from '../../../../src/schemas/run.ts'
import { StreamBody } from '../../../../src/schemas/stream.ts'
import { TurnBody } from '../../../../src/schemas/turn.ts'
import cancel from './cancel.ts'
import list from './list.ts'
import poll from './poll.ts'
import resume from './resume.ts'
import retry from './retry.ts'
import start from './start.ts'
import stream from './stream.ts'
import sync from './sync.ts'

/** /api/agent/chat: turns and their runs. */
const chat: FastifyPluginAsync<TurnRoutes> = async (app, options) => {
  for (const schema of [
    PendingAction,
    RetryBody,
    Run,
    EndedRun,
    RunStarted,
    RunSummary,
    StreamBody,
    ToolCall,
    TurnBody,
  ])
    app.addSchema(schema)
  for (const route of [start, sync, stream, retry]) app.register(route, options)
  for (const route of [resume, list, poll, cancel]) app.register(route)
}

export default chat
