import { randomUUID } from 'node:crypto'
import { readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Test } from 'tap'
import type { Answer, Service } from '../support/service.ts'

export interface Asked {
  runId: string
  conversationId: string
  actions: Array<{ actionId: string; toolCallId: string; toolName: string; args: Record<string, unknown> }>
}

/** Sends a message and polls until its turn waits for answers to its actions. */
export async function ask(
  service: Service,
  message: string,
  { user = 'alice', ...body }: { user?: string } & Record<string, unknown> = {},
): Promise<Asked> {
  const started = await service.call('POST', '/api/agent/chat', { user, body: { message, ...body } })
  const { runId, conversationId } = started.body
  const { body: run } = await service.ended(runId, user)
  if (run.finishReason !== 'action_required')
    throw new Error(`the turn does not wait: ${JSON.stringify(run)}`)
  return { runId, conversationId, actions: run.pendingActions }
}

/** Sends an answer to an action of a run. */
export const answer = (
  service: Service,
  runId: string,
  actionId: string,
  body: object,
  user = 'alice',
): Promise<Answer> => service.call('POST', `/api/agent/chat/${runId}/actions/${actionId}`, { user, body })

export const APPROVE = { decision: 'approve' }
export const DENY = { decision: 'deny', reason: 'not today' }

/** A file to which the tool `stamp` adds a line each time it is executed. */
export function stampFile(t: Test) {
  const file = join(tmpdir(), `agent-chat-stamps-${randomUUID()}`)
  t.teardown(() => rm(file, { force: true }))
  return {
    file,
    lines: async () => (await readFile(file, 'utf8').catch(() => '')).split('\n').filter(Boolean).sort(),
  }
}
