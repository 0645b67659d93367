import { createHash } from 'node:crypto'
import { apiClientManager, TriggerTaskResponse } from '@trigger.dev/core/v3'
import { tasks } from '@trigger.dev/sdk'
import { cleanJson } from '../../agent/clean.ts'
import { AGENT_QUEUE, AGENT_TASK_ID, type AgentTurn } from '../../agent/turn.ts'
import type { StartOptions } from '../run-engine.ts'
import { ELSEWHERE, post } from './post.ts'
import { NO_SDK_RETRY, unreadable } from './sdk.ts'

/** Beyond it the SDK puts a payload into the object store of the server. */
const INLINE_BYTES = 128 * 1024

/**
 * Makes a run of the agent, with the SDK's own client, headers and errors. `tasks.trigger` does the same and, for every
 * call, signs a public access token, copies the payload into a format for values that JSON does not have, and opens a
 * span: more than half of what a start costs. It is used where the payload has to go through an object store, and where
 * the server redirects.
 * @returns the id of the run
 */
export async function trigger(turn: AgentTurn, start: StartOptions): Promise<string> {
  const { engineKey, concurrencyKey, tags, ttlSeconds, maxDurationSeconds, keySeconds } = start
  const common = {
    concurrencyKey,
    idempotencyKeyTTL: `${keySeconds}s`,
    tags,
    ttl: ttlSeconds,
    maxDuration: maxDurationSeconds,
    maxAttempts: 1,
  }
  const client = apiClientManager.clientOrThrow()
  const body = JSON.stringify({
    payload: turn,
    options: {
      ...common,
      payloadType: 'application/json',
      // Named here too: a run that comes before the worker has said which queue it is waits for ever.
      queue: { name: AGENT_QUEUE },
      idempotencyKey: keyOf(engineKey),
      idempotencyKeyOptions: { key: engineKey, scope: 'run' },
    },
  })
  const isLarge = Buffer.byteLength(body) > INLINE_BYTES
  const url = `${client.baseUrl}/api/v1/tasks/${AGENT_TASK_ID}/trigger`
  const answer = isLarge ? ELSEWHERE : await post(url, client.getHeaders('triggerTask'), body)
  if (answer !== ELSEWHERE) return TriggerTaskResponse.safeParse(answer).data?.id ?? unreadable()
  const options = { ...common, queue: AGENT_QUEUE, idempotencyKey: engineKey }
  return (await tasks.trigger(AGENT_TASK_ID, cleanJson(turn), options, NO_SDK_RETRY)).id
}

/** The key as the SDK sends it from outside of a run (`idempotencyKeys.create`). */
const keyOf = (engineKey: string): string => createHash('sha256').update(engineKey).digest('hex')
