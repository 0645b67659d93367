import type { Caller } from '../../caller.ts'
import { problem } from '../../errors.ts'
import type { ActionRecord, ActionStatus, AnswerOutcome, PendingAction } from '../../stores/actions.ts'
import type { ServiceContext } from '../context.ts'
import type { AgentService } from '../read/agents.ts'
import { decodeCursor, type Page, pageOf } from '../read/pagination.ts'
import type { Continuer } from '../start/continuer.ts'

/** The answer in a request: a decision about an approval, or the result of the caller's tool. */
export type Answer =
  | { decision: 'approve' | 'deny'; reason?: string }
  | { output: unknown }
  | { error: string }

export interface DecidedView {
  actionId: string
  runId: string
  status: Exclude<ActionStatus, 'pending'>
  decidedAt: string
  decidedBy?: string
  /** How many calls of the turn still wait. */
  pending: number
  /** The run of the continuation, once it has begun. */
  continuedBy?: string
}

export interface ActionView extends PendingAction {
  runId: string
  conversationId?: string
  /** Set for an action of another user. */
  userId?: string
}

/** An answer in the request of a chat page. An approval names its action, a result names its call. */
export type GivenAnswer = ({ actionId: string } | { toolCallId: string }) & { answer: () => Answer }

export interface ActionService {
  /**
   * Records the answers of a chat page.
   * @param messageId the message whose calls are answered
   * @returns the run of the continuation; undefined while other calls wait
   * @throws Problem as `answer`, and `engine_unavailable` when the continuation could not be dispatched yet: the page may
   * send the same answers again, and gets the run then
   */
  answerAll(
    caller: Caller,
    conversationId: string,
    given: { messageId: string | undefined; answers: GivenAnswer[] },
    requestId: string,
  ): Promise<string | undefined>
  /**
   * Records an answer about a tool call. The last answer of a turn starts its continuation.
   * @throws Problem `action_not_found`, also for an action of another user; `action_decided`; `invalid_request`; and the
   * reason why the caller may not use the agent of the turn
   */
  answer(
    caller: Caller,
    action: { runId: string; actionId: string },
    answer: Answer,
    requestId: string,
  ): Promise<DecidedView>
  /** The actions that wait for the caller's answer, newest first. */
  list(caller: Caller, query: { limit: number; cursor?: string }): Promise<Page<ActionView>>
}

export function actionService(
  { stores, log }: ServiceContext,
  continuer: Continuer,
  agents: Pick<AgentService, 'names' | 'refusal'>,
  { approvers }: { approvers: 'owner' | 'scope' },
): ActionService {
  const mayAnswerForOthers = ({ scopes = [] }: Caller) =>
    approvers === 'scope' && scopes.includes('agent:approve')

  const service: ActionService = {
    async answerAll(caller, conversationId, { messageId, answers }, requestId) {
      const known = await stores.actions.named(caller.userId, conversationId, {
        messageId,
        actionIds: answers.flatMap((given) => ('actionId' in given ? [given.actionId] : [])),
        toolCallIds: answers.flatMap((given) => ('toolCallId' in given ? [given.toolCallId] : [])),
      })
      const wanted = known.actions.flatMap((action) => {
        const given = answers.find((one) =>
          'actionId' in one ? one.actionId === action.actionId : one.toolCallId === action.toolCallId,
        )
        return given === undefined ? [] : [{ action, given }]
      })
      if (wanted.length === 0 && known.continuation === null) throw problem('action_not_found')
      // A page may answer calls of a continuation. The turn then goes on with the next run of the chain.
      let continuedBy = wanted.length === 0 ? (known.continuation?.runId ?? undefined) : undefined
      let pending = 0
      for (const { action, given } of wanted) {
        const view = await service.answer(caller, action, given.answer(), requestId)
        continuedBy = view.continuedBy ?? continuedBy
        pending = view.pending
      }
      if (continuedBy === undefined && pending === 0) throw problem('engine_unavailable', { retryAfter: 2 })
      return continuedBy
    },

    async answer(caller, { runId, actionId }, answer, requestId) {
      const outcome = await stores.actions.answer({
        ...{ runId, actionId: actionId.toLowerCase(), requestId },
        ...{ userId: caller.userId, actor: caller.actor ?? null, approver: mayAnswerForOthers(caller) },
        agents: agents.names.filter((name) => agents.refusal(caller, name) === undefined),
        ...decisionOf(answer),
      })
      if (outcome.outcome === 'not_found') throw problem('action_not_found')
      if (outcome.outcome === 'wrong_kind') throw wrongKind(outcome.kind)
      if (outcome.outcome === 'agent_refused')
        throw agents.refusal(caller, outcome.agent) ?? problem('agent_unknown')
      const { turnId } = outcome
      const view = decided({ runId, actionId }, outcome)
      if (outcome.outcome === 'decided')
        throw problem('action_decided', { members: { decision: decisionIn(view) } })
      if (turnId === undefined) return view
      const continuedBy = await continuer.go(turnId).catch((error: unknown) => {
        log.warn({ err: error, turnId }, 'a turn could not go on yet; the sweeper dispatches it')
        return undefined
      })
      return { ...view, ...(continuedBy === undefined ? {} : { continuedBy }) }
    },

    async list(caller, { limit, cursor }) {
      const filters = ['actions', 'pending']
      const [before] = decodeCursor(cursor, filters) ?? []
      const user = mayAnswerForOthers(caller) ? null : caller.userId
      const rows = await stores.actions.listPending(user, {
        limit: limit + 1,
        ...(before === undefined ? {} : { before }),
      })
      return pageOf(rows, limit, filters, {
        item: (row) => viewOf(row, caller),
        key: (row) => [row.actionId],
      })
    },
  }
  return service
}

function decisionOf(answer: Answer) {
  if ('decision' in answer)
    return {
      status: answer.decision === 'approve' ? ('approved' as const) : ('denied' as const),
      ...(answer.reason === undefined ? {} : { reason: answer.reason }),
    }
  return { status: 'answered' as const, ...answer }
}

function decided(
  { runId, actionId }: { runId: string; actionId: string },
  {
    status,
    pending,
    decidedAt,
    decidedBy,
    continuedBy,
  }: Exclude<AnswerOutcome, { outcome: 'not_found' | 'wrong_kind' | 'agent_refused' }>,
): DecidedView {
  return {
    actionId: actionId.toLowerCase(),
    runId,
    status,
    decidedAt: new Date(decidedAt).toISOString(),
    ...(decidedBy === undefined ? {} : { decidedBy }),
    pending,
    ...(continuedBy === undefined ? {} : { continuedBy }),
  }
}

const decisionIn = ({ status, decidedAt, decidedBy }: DecidedView) => ({
  ...{ status, decidedAt },
  ...(decidedBy === undefined ? {} : { decidedBy }),
})

function viewOf(row: ActionRecord, caller: Caller): ActionView {
  const { message, createdAt, expiresAt, conversationId, userId, ...fields } = row
  return {
    ...fields,
    ...(message === null ? {} : { message }),
    createdAt: createdAt.toISOString(),
    expiresAt: expiresAt.toISOString(),
    ...(conversationId === null ? {} : { conversationId }),
    ...(userId === caller.userId ? {} : { userId }),
  }
}

const wrongKind = (kind: 'approval' | 'tool_result') =>
  problem('invalid_request', {
    members: {
      errors: [
        {
          path: '',
          message:
            kind === 'approval'
              ? 'must have a decision: the action is an approval'
              : 'must have an output or an error: the caller executes the tool',
        },
      ],
    },
  })
