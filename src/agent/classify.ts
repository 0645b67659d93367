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
import type { FailureCode } from './failure.ts'
import { readProvider } from './provider-report.ts'
import { SettingsError } from './settings-error.ts'

/**
 * Finds the failure code of an error that the AI SDK reports or throws. The code holds no words of the provider,
 * because bodies and messages of errors may quote the whole prompt.
 */
export function classify(error: unknown): FailureCode {
  if (RetryError.isInstance(error)) return classify(error.lastError)
  if (error instanceof SettingsError) return 'agent_misconfigured'
  if (isTimeout(error)) return 'model_timeout'
  if (APICallError.isInstance(error) || StreamProviderError.isInstance(error)) return classifyCall(error)
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

const OVERFLOW =
  /context_length_exceeded|maximum context|context (length|window|size|limit)|prompt is too long|too many tokens|exceeds the maximum number of tokens|input is too long|request_too_large|request too large/i
const QUOTA =
  /insufficient[_ ](quota|balance|credits?|funds)|billing|credit balance|out of credits|exceeded your (current|monthly) (quota|budget)|payment required/i
/** Google uses the word "quota" for every limit. Only a limit that is counted by the day is a quota here. */
const SHORT_LIMIT = /PerMinute|retryDelay/
const DAILY_LIMIT = /PerDay/
const FILTER = /content_filter|content_policy|content management policy|responsible ?ai/i
const KEY = /api[ _-]?key|authentication|unauthori[sz]ed/i
const MODEL = /model/i
const OVERLOAD = /overloaded|unavailable/i

const BY_STATUS: Record<number, FailureCode> = {
  401: 'provider_auth',
  402: 'provider_quota',
  403: 'provider_auth',
  408: 'model_timeout',
  429: 'provider_rate_limited',
  503: 'provider_overloaded',
  504: 'model_timeout',
  529: 'provider_overloaded',
}

/** The words of the provider decide before its status, since several providers use 400, 403 and 429 for many things. */
function classifyCall(error: APICallError | StreamProviderError): FailureCode {
  const { code = '', message = '', details = '', status } = readProvider(error) ?? {}
  const said = `${code} ${message}`
  if (status !== undefined && status < 300)
    return isBrokenConnection(error.cause) ? 'model_interrupted' : 'provider_protocol'
  if (status === undefined && APICallError.isInstance(error)) return 'provider_unreachable'
  if (isAny(status, 400, 413, 422, 429) && OVERFLOW.test(said)) return 'context_overflow'
  if (isAny(status, 400, 403, 429) && isQuota(said, details)) return 'provider_quota'
  if (isAny(status, 400, 403, 422) && FILTER.test(said + details)) return 'content_filtered'
  if (isAny(status, 400) && KEY.test(said)) return 'provider_auth'
  if (isAny(status, 400, 403, 404) && /model_not_found|not_found/i.test(code) && MODEL.test(said))
    return 'model_not_found'
  if (status === 404 && MODEL.test(said)) return 'model_not_found'
  if (status === undefined) return fromStream(said)
  return BY_STATUS[status] ?? (status < 500 ? 'provider_rejected' : 'provider_error')
}

/** An error within a stream may come without a status. */
function isAny(status: number | undefined, ...statuses: number[]): boolean {
  return status === undefined || statuses.includes(status)
}

function isQuota(said: string, details: string): boolean {
  if (DAILY_LIMIT.test(details)) return true
  return QUOTA.test(said) && !SHORT_LIMIT.test(details)
}

function fromStream(said: string): FailureCode {
  if (/rate_?limit/i.test(said)) return 'provider_rate_limited'
  return OVERLOAD.test(said) ? 'provider_overloaded' : 'provider_error'
}

function isTimeout(error: unknown): boolean {
  return error instanceof Error && error.name === 'TimeoutError'
}

/** Whether Node's fetch threw the error because the socket of a response broke. */
function isBrokenConnection(error: unknown): boolean {
  return error instanceof TypeError && /terminated|fetch failed|network/i.test(error.message)
}
