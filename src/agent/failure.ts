import {
  APICallError,
  EmptyResponseBodyError,
  InvalidPromptError,
  InvalidResponseDataError,
  JSONParseError,
  MissingToolResultsError,
  NoOutputGeneratedError,
  RetryError,
  StreamProviderError,
  TypeValidationError,
} from 'ai'

/** Why a turn failed: a sentence fit for the user, and whether the same turn may succeed later. */
export interface Failure {
  errorCode: FailureCode
  message: string
  retryable: boolean
}

/** Every way in which the worker itself reports a failed turn. */
export const FAILURES = {
  provider_error: { message: 'The model provider had an internal problem.', retryable: true },
  provider_unreachable: { message: 'The model provider could not be reached.', retryable: true },
  provider_rate_limited: {
    message: 'The model provider is limiting requests at the moment.',
    retryable: true,
  },
  provider_auth: { message: 'The model provider refused the credentials of this service.', retryable: false },
  provider_rejected: { message: 'The model provider did not accept the request.', retryable: false },
  provider_protocol: {
    message: 'The model provider sent an answer that could not be understood.',
    retryable: true,
  },
  context_overflow: { message: 'The conversation is too long for the model.', retryable: false },
  model_timeout: { message: 'The model did not answer in time.', retryable: true },
  model_interrupted: { message: 'The answer of the model ended too early.', retryable: true },
  invalid_history: { message: 'The conversation so far could not be given to the model.', retryable: false },
  payload_too_new: {
    message: 'The worker is older than the service that started this run.',
    retryable: true,
  },
  internal: { message: 'An unexpected problem occurred while the answer was written.', retryable: true },
} as const satisfies Record<string, { message: string; retryable: boolean }>

export type FailureCode = keyof typeof FAILURES

const OVERFLOW =
  /context_length_exceeded|maximum context|context (length|window)|prompt is too long|too many tokens/i
const REFUSALS: Record<number, FailureCode> = {
  401: 'provider_auth',
  402: 'provider_auth',
  403: 'provider_auth',
  408: 'model_timeout',
  429: 'provider_rate_limited',
  529: 'provider_rate_limited',
}

/**
 * Finds the code for what the AI SDK reports or throws. What a provider said stays out of it: bodies and messages
 * of errors may hold the whole prompt.
 */
export function classify(error: unknown): FailureCode {
  if (RetryError.isInstance(error)) return classify(error.lastError)
  if (isTimeout(error)) return 'model_timeout'
  if (APICallError.isInstance(error)) return classifyCall(error)
  if (StreamProviderError.isInstance(error)) return classifyCall(error)
  if (MissingToolResultsError.isInstance(error) || InvalidPromptError.isInstance(error))
    return 'invalid_history'
  if (PROTOCOL_ERRORS.some((kind) => kind.isInstance(error))) return 'provider_protocol'
  return isBrokenConnection(error) ? 'model_interrupted' : 'internal'
}

const PROTOCOL_ERRORS = [
  JSONParseError,
  TypeValidationError,
  InvalidResponseDataError,
  EmptyResponseBodyError,
  NoOutputGeneratedError,
]

function classifyCall(error: APICallError | StreamProviderError): FailureCode {
  const { statusCode, message, data } = error
  const said = `${message} ${JSON.stringify(data) ?? ''}`
  if ((statusCode === undefined || [400, 413, 422].includes(statusCode)) && OVERFLOW.test(said))
    return 'context_overflow'
  if (statusCode === undefined)
    return APICallError.isInstance(error) ? 'provider_unreachable' : 'provider_error'
  if (statusCode < 300) return isBrokenConnection(error.cause) ? 'model_interrupted' : 'provider_protocol'
  return REFUSALS[statusCode] ?? (statusCode < 500 ? 'provider_rejected' : 'provider_error')
}

function isTimeout(error: unknown): boolean {
  return error instanceof Error && error.name === 'TimeoutError'
}

/** What Node's fetch throws when the socket of a response breaks. */
function isBrokenConnection(error: unknown): boolean {
  return error instanceof TypeError && /terminated|fetch failed|network/i.test(error.message)
}

/** The message of the error that a failed task throws, and the only thing that the engine tells about it. */
export function failureMessage(code: FailureCode): string {
  return `${code}: ${FAILURES[code].message}`
}

/** Reads back `failureMessage`; `undefined` when the run failed in another way. */
export function parseFailure(message: string): Failure | undefined {
  const code = /^([a-z_]+): /.exec(message)?.[1]
  return code && isFailureCode(code) ? { errorCode: code, ...FAILURES[code] } : undefined
}

function isFailureCode(code: string): code is FailureCode {
  return Object.hasOwn(FAILURES, code)
}
