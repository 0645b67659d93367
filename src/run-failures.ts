import { FAILURES } from './agent/failure.ts'

/** What the engine or the service itself says about a failed run; the worker's own codes are the agent's. */
const ENGINE_FAILURES = {
  task_failed: {
    message: 'The agent ended with an error.',
    retryable: true,
    action: 'Send the message again; tell the operator the `runId` when it fails again.',
  },
  crashed: {
    message: 'The process that ran the agent ended unexpectedly.',
    retryable: true,
    action: 'Send the message again; tell the operator the `runId` when it fails again.',
  },
  system_failure: {
    message: 'The run engine could not execute the run.',
    retryable: true,
    action: 'Send the message again; the operator looks at the run in Trigger.dev.',
  },
  timed_out: {
    message: 'The run took longer than it may and was ended.',
    retryable: true,
    action: 'Ask for less at once, or let the operator raise RUN_MAX_DURATION_SECONDS.',
  },
  expired: {
    message: 'The run waited too long for its execution.',
    retryable: true,
    action: 'Send the message again; the operator looks whether a worker is there and has capacity.',
  },
  worker_lost: {
    message: 'The run engine or the process that ran the agent was lost, for example in a restart.',
    retryable: true,
    action: 'Send the message again.',
  },
  output_unreadable: {
    message: 'The agent has ended, but its answer could not be read as a whole.',
    retryable: true,
    action: 'Send the message again; the operator compares the versions of worker and service.',
  },
} as const

/** The closed list of `errorCode`s (docs/api.md#4-poll): a sentence fit for a user, and who must act. */
export const RUN_FAILURES: Record<string, { message: string; retryable: boolean; action: string }> = {
  ...ENGINE_FAILURES,
  ...FAILURES,
}

export const RUN_ERROR_CODES = Object.keys(RUN_FAILURES)

/** The sentence and the retry advice of a code; an unknown one counts as internal. */
export function runFailure(errorCode: string): { errorCode: string; message: string; retryable: boolean } {
  const known = Object.hasOwn(RUN_FAILURES, errorCode) ? RUN_FAILURES[errorCode] : undefined
  const { message, retryable } = known ?? FAILURES.internal
  return { errorCode: known === undefined ? 'internal' : errorCode, message, retryable }
}
