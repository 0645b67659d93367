import { FAILURES } from '../../agent/failure.ts'

/** What the engine or the service itself says about a failed run; the worker's own codes are the agent's. */
const ENGINE_FAILURES = {
  task_failed: { message: 'The agent ended with an error.', retryable: true },
  crashed: { message: 'The process that ran the agent ended unexpectedly.', retryable: true },
  system_failure: { message: 'The run engine could not execute the run.', retryable: true },
  timed_out: { message: 'The run took longer than it may and was ended.', retryable: true },
  expired: { message: 'The run waited too long for its execution.', retryable: true },
  output_unreadable: {
    message: 'The agent has ended, but its answer could not be read as a whole.',
    retryable: true,
  },
  worker_lost: {
    message: 'The run engine or the process that ran the agent was lost, for example in a restart.',
    retryable: true,
  },
} as const

/** The closed list of `errorCode`s (contract §4) with a sentence fit for a user. */
export const RUN_FAILURES: Record<string, { message: string; retryable: boolean }> = {
  ...ENGINE_FAILURES,
  ...FAILURES,
}

export const RUN_ERROR_CODES = Object.keys(RUN_FAILURES)

/** The sentence and the retry advice of a code; an unknown one counts as internal. */
export function runFailure(errorCode: string): { errorCode: string; message: string; retryable: boolean } {
  const failure = RUN_FAILURES[errorCode]
  return failure === undefined ? { errorCode: 'internal', ...FAILURES.internal } : { errorCode, ...failure }
}
