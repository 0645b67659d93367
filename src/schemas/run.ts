import { type Static, type TSchema, Type } from '@sinclair/typebox'
import { RunId } from './ids.ts'
import {
  begun,
  failure,
  finish,
  finishedAt,
  known,
  log,
  Queue,
  RunStatus,
  said,
  usage,
  wished,
} from './run-fields.ts'
import { byStatus, ENDED_RUNS, RUNS } from './run-variants.ts'
import { oneOf } from './shared.ts'

export { RUN_STATUSES, RunStatus, ToolCall } from './run-fields.ts'

const summary = {
  runId: RunId,
  status: RunStatus,
  ...known,
  ...begun,
  finishedAt: Type.Optional(finishedAt),
  ...wished,
  ...Type.Partial(Type.Object(failure)).properties,
  ...finish,
  ...usage,
}

/** A field that is written as it is, in one piece: a serializer that looks at every item is slower for long answers. */
const written = <T extends TSchema>(_shape: T) => Type.Optional(Type.Unsafe<Static<T>>({}))

/** All fields that a run can have, in one flat object, because a choice between schemas makes the serializer slower. */
const run = {
  ...summary,
  queue: Type.Optional(Queue),
  ...said,
  ...Type.Partial(Type.Object(log)).properties,
  messages: written(log.messages),
  toolCalls: written(log.toolCalls),
}

export const RunSummary = Type.Object(summary, {
  $id: 'RunSummary',
  description: 'A run without its contents',
})

/** The body of a poll, and of everything else that answers with a run. */
export const Run = Type.Object(run, {
  $id: 'Run',
  'x-document': byStatus(RUNS, 'One turn of the agent; `status` says which fields it has'),
})

/** The body of an answer that waited for the end of the run. */
export const EndedRun = Type.Object(run, {
  $id: 'EndedRun',
  'x-document': byStatus(ENDED_RUNS, 'A run that has ended, in one of three ways'),
})

/** Headers of every answer that holds a run, for the API description. */
export const RUN_HEADERS = {
  ETag: { type: 'string', description: 'Changes with the body' },
  'Retry-After': { type: 'integer', description: 'Unfinished: seconds until the next poll' },
}

export const RunStarted = Type.Object(
  {
    runId: RunId,
    status: oneOf(['queued']),
    conversationId: Type.Optional(
      Type.String({
        description:
          'Absent when the conversation could not be stored (the run goes on all the same), and in a replay once the conversation was deleted',
      }),
    ),
  },
  {
    $id: 'RunStarted',
    description: 'The run was accepted',
    examples: [
      {
        runId: 'run_cmwrkineh0003z47dikyv7w07',
        status: 'queued',
        conversationId: '0198c5a2-7d3e-7b1a-9f00-3f2a1c4d5e6f',
      },
    ],
  },
)

export type RunStarted = Static<typeof RunStarted>
