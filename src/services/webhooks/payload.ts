import { runFailure } from '../../run-failures.ts'
import type { PendingAction } from '../../stores/actions.ts'
import type { ClaimedDelivery, DeliveredRun } from '../../stores/deliveries.ts'
import { textOf } from '../end/answer.ts'

/**
 * The body of a delivery, in the form of Standard Webhooks: `type`, `timestamp` (when the event happened), `data`.
 * It is made from the rows that the database has now. Contents that were deleted since the event are not in it.
 */
export function deliveryBody(delivery: ClaimedDelivery, contents: boolean): string {
  const { event, createdAt, userId, conversationId, runId, run } = delivery
  return JSON.stringify({
    type: event,
    timestamp: createdAt.toISOString(),
    data: {
      userId,
      ...(conversationId === null ? {} : { conversationId }),
      ...(runId === null ? {} : { runId, status: statusOf(event) }),
      ...(run === null ? {} : runData(run, contents)),
    },
  })
}

/** A run whose turn waits for answers to its actions is completed. */
const statusOf = (event: ClaimedDelivery['event']) =>
  event === 'run.action_required' ? 'completed' : event.slice('run.'.length)

function runData(run: DeliveredRun, contents: boolean) {
  const { agent, errorCode, error, usage, facts, metadata, finishedAt, output, pendingActions } = run
  const { finishReason, model, steps, retryAfter } = facts ?? {}
  const failure = errorCode === null ? undefined : runFailure(errorCode)
  return {
    agent,
    ...(finishReason === undefined ? {} : { finishReason }),
    ...(failure === undefined
      ? {}
      : { errorCode, error: error ?? failure.message, retryable: failure.retryable }),
    ...(retryAfter === undefined ? {} : { retryAfter }),
    ...(model === undefined ? {} : { model }),
    ...(steps === undefined ? {} : { steps }),
    ...(usage === null ? {} : { usage }),
    metadata,
    ...(finishedAt === null ? {} : { finishedAt: new Date(finishedAt).toISOString() }),
    ...(pendingActions === null
      ? {}
      : { pendingActions: pendingActions.map((action) => actionData(action, contents)) }),
    ...(contents ? { text: output === null ? '' : textOf(output) } : {}),
  }
}

/** What an action asks for is content: a receiver without contents gets what tells the action, and polls for the rest. */
function actionData(action: PendingAction, contents: boolean) {
  const { args, message, createdAt, expiresAt, ...rest } = action
  return {
    ...rest,
    ...(contents ? { args, ...(message === undefined ? {} : { message }) } : {}),
    createdAt: new Date(createdAt).toISOString(),
    expiresAt: new Date(expiresAt).toISOString(),
  }
}
