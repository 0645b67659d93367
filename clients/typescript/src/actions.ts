import type { CallOptions, Http } from './http.ts'
import type { Action, ActionAnswer, ActionDecided, ActionQuery, Page } from './types.ts'

export class Actions {
  readonly #http: Http

  constructor(http: Http) {
    this.#http = http
  }

  /** Actions that wait for an answer of this user. */
  list(query: ActionQuery = {}, options: CallOptions = {}): Promise<Page<Action>> {
    return this.#http.json({ path: '/api/agent/actions', query, ...options })
  }

  /**
   * Answers an action. The same answer again changes nothing. After the last action of a turn `continuedBy` names
   * the run that goes on.
   */
  answer(
    runId: string,
    actionId: string,
    answer: ActionAnswer,
    options: CallOptions = {},
  ): Promise<ActionDecided> {
    const path = `/api/agent/chat/${encodeURIComponent(runId)}/actions/${encodeURIComponent(actionId)}`
    return this.#http.json({ method: 'POST', path, body: answer, ...options })
  }

  approve(runId: string, actionId: string, options: CallOptions = {}): Promise<ActionDecided> {
    return this.answer(runId, actionId, { decision: 'approve' }, options)
  }

  deny(runId: string, actionId: string, reason?: string, options: CallOptions = {}): Promise<ActionDecided> {
    const answer = { decision: 'deny' as const, ...(reason === undefined ? {} : { reason }) }
    return this.answer(runId, actionId, answer, options)
  }
}
