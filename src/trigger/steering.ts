import { metadata } from '@trigger.dev/sdk'
import { STEERED_BY } from '../agent/steering.ts'
import { settled } from './deadline.ts'

/** Milliseconds for which a turn waits, between two steps, to hear whether it is steered. */
const READ_MS = 1000

/**
 * The run whose message steers the run of this worker, from the metadata of this run at Trigger.dev; the first one when
 * there are several. When Trigger.dev does not answer in time, the turn goes on as if it was not steered: the message
 * is answered after it.
 */
export async function steeredBy(): Promise<string | undefined> {
  const problem = await settled(metadata.refresh({ retry: { maxAttempts: 1 } }), READ_MS)
  if (problem !== undefined) return undefined
  const marks = metadata.get(STEERED_BY)
  const [first] = Array.isArray(marks) ? marks : []
  return typeof first === 'string' ? first : undefined
}
