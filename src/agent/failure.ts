/** Why a turn failed: a sentence fit for the user, and whether the same turn may succeed later. */
export interface Failure {
  errorCode: FailureCode
  message: string
  retryable: boolean
  /** Who must act, and how. */
  action: string
  /** Whole seconds after which the provider allows another call; absent when the provider named no time. */
  retryAfter?: number
}

const RETRY = 'Send the message again.'
const WAIT = 'Wait a little, or as long as `retryAfter` says, then send the message again.'
const OPERATOR =
  'The operator reads the log of the worker: it has the status, the host and the code of the provider.'

/** Every way in which the worker itself reports a failed turn. */
export const FAILURES = {
  provider_error: {
    message: 'The model provider had an internal problem.',
    retryable: true,
    action: RETRY,
  },
  provider_unreachable: {
    message: 'The model provider could not be reached.',
    retryable: true,
    action: `${RETRY} ${OPERATOR}`,
  },
  provider_rate_limited: {
    message: 'The model provider is limiting requests at the moment.',
    retryable: true,
    action: WAIT,
  },
  provider_overloaded: {
    message: 'The model provider is overloaded at the moment.',
    retryable: true,
    action: WAIT,
  },
  provider_quota: {
    message: 'The budget of this service at the model provider is used up.',
    retryable: false,
    action: 'The operator raises the limit or adds credit at the provider.',
  },
  provider_auth: {
    message: 'The model provider refused the credentials of this service.',
    retryable: false,
    action: `The operator checks the key of the provider. ${OPERATOR}`,
  },
  provider_rejected: {
    message: 'The model provider did not accept the request.',
    retryable: false,
    action: OPERATOR,
  },
  provider_protocol: {
    message: 'The model provider sent an answer that could not be understood.',
    retryable: true,
    action: `${RETRY} ${OPERATOR}`,
  },
  model_not_found: {
    message: 'The model provider does not have the model of this service.',
    retryable: false,
    action: 'The operator corrects AGENT_MODEL or the address of the provider.',
  },
  content_filtered: {
    message: 'The model provider refused to answer because of the content.',
    retryable: false,
    action: 'Say it in other words.',
  },
  context_overflow: {
    message: 'The conversation is too long for the model.',
    retryable: false,
    action:
      'Begin a new conversation, or send a shorter message. The operator sets AGENT_CONTEXT_TOKENS to what the model takes.',
  },
  model_timeout: { message: 'The model did not answer in time.', retryable: true, action: RETRY },
  model_interrupted: {
    message: 'The answer of the model ended too early.',
    retryable: true,
    action: RETRY,
  },
  output_invalid: {
    message: 'The answer of the model did not have the form that was asked for.',
    retryable: true,
    action: 'Send the message again, or ask for a simpler form.',
  },
  model_silent: { message: 'The model ended its answer without a word.', retryable: true, action: RETRY },
  invalid_history: {
    message: 'The conversation so far could not be given to the model.',
    retryable: false,
    action: 'Begin a new conversation, and tell the operator the `runId`.',
  },
  agent_misconfigured: {
    message: 'The agent of this service is not set up correctly.',
    retryable: false,
    action: 'The operator reads the log of the worker: it names the setting.',
  },
  agent_not_deployed: {
    message: 'The worker does not know the agent of this conversation.',
    retryable: true,
    action: 'The operator deploys the worker that has this agent.',
  },
  payload_too_new: {
    message: 'The worker is older than the service that started this run.',
    retryable: true,
    action: 'The operator deploys the worker of this version.',
  },
  internal: {
    message: 'An unexpected problem occurred while the answer was written.',
    retryable: true,
    action: 'Send the message again; tell the operator the `runId` when it fails again.',
  },
} as const satisfies Record<string, Omit<Failure, 'errorCode' | 'retryAfter'>>

export type FailureCode = keyof typeof FAILURES

/**
 * The message of the error that a failed task throws. The engine passes on nothing else of the error.
 * @param retryAfter whole seconds, where the provider gave a time
 */
export function failureMessage(code: FailureCode, retryAfter?: number): string {
  const time = retryAfter === undefined ? '' : ` (retry after ${retryAfter} s)`
  return `${code}: ${FAILURES[code].message}${time}`
}

/** Reads a message that `failureMessage` made; `undefined` when the run failed in another way. */
export function parseFailure(message: string): Failure | undefined {
  const [, code, retryAfter] = /^([a-z_]+): .*?(?: \(retry after (\d{1,9}) s\))?$/s.exec(message) ?? []
  if (code === undefined || !isFailureCode(code)) return undefined
  const failure = { errorCode: code, ...FAILURES[code] }
  return retryAfter === undefined ? failure : { ...failure, retryAfter: Number(retryAfter) }
}

/**
 * What the task returns instead of failing, when its turn failed and the engine has to remember the idempotency key:
 * Trigger.dev forgets the key of a run that fails.
 */
export interface FailedOutput {
  /** A message that `failureMessage` made. */
  failure: string
}

/** Reads the output of a run; `undefined` when the run has not failed in this way. */
export function failureOfOutput(output: unknown): Failure | undefined {
  const { failure } = (output ?? {}) as Partial<FailedOutput>
  return typeof failure === 'string' ? parseFailure(failure) : undefined
}

function isFailureCode(code: string): code is FailureCode {
  return Object.hasOwn(FAILURES, code)
}
