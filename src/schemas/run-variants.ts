import { type TProperties, Type } from '@sinclair/typebox'
import type { PublicStatus } from '../engine/run-status.ts'
import { RunId } from './ids.ts'
import {
  begun,
  failure,
  finish,
  finishedAt,
  known,
  log,
  partialText,
  Queue,
  said,
  ToolCall,
  usage,
  wished,
} from './run-fields.ts'
import { oneOf, ref } from './shared.ts'

const variant = <Status extends PublicStatus, Fields extends TProperties>(
  name: string,
  status: Status,
  description: string,
  fields: Fields,
) =>
  Type.Object({ runId: RunId, status: oneOf([status]), ...known, ...fields }, { 'x-name': name, description })

const partial = {
  text: partialText,
  toolCalls: Type.Optional(
    Type.Array(ref(ToolCall), { description: 'Calls of tools, of a run that goes on with an earlier one' }),
  ),
  ...said,
  ...usage,
  ...wished,
}

const QueuedRun = variant('QueuedRun', 'queued', 'A run that waits for its execution', {
  queue: Type.Optional(Queue),
  ...wished,
})
const RunningRun = variant('RunningRun', 'running', 'A run that the agent works on', { ...begun, ...wished })
const CompletedRun = variant('CompletedRun', 'completed', 'A run with its whole answer', {
  ...begun,
  finishedAt,
  ...finish,
  ...log,
  ...said,
  ...usage,
})
const FailedRun = variant(
  'FailedRun',
  'failed',
  'A run that ended with an error, and what there was of its answer',
  {
    ...begun,
    finishedAt,
    ...failure,
    ...partial,
  },
)
const CancelledRun = variant(
  'CancelledRun',
  'cancelled',
  'A run that was cancelled, and what there was of its answer',
  {
    ...begun,
    finishedAt,
    ...partial,
  },
)

export const ENDED_RUNS = [CompletedRun, FailedRun, CancelledRun]
export const RUNS = [QueuedRun, RunningRun, ...ENDED_RUNS]

/** One of these runs, told apart by its status. */
export const byStatus = (variants: typeof RUNS, description: string) => ({
  description,
  oneOf: variants,
  discriminator: {
    propertyName: 'status',
    mapping: Object.fromEntries(
      variants.map((variant) => [
        variant.properties.status.enum[0],
        `#/components/schemas/${variant['x-name']}`,
      ]),
    ),
  },
})
