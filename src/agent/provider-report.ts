import { APICallError, RetryError, StreamProviderError } from 'ai'

/** A provider's report about a model call that failed. Callers never read its texts: `message` may quote the prompt. */
export interface ProviderReport {
  /** HTTP status of the answer, or the one that the provider named in its stream. */
  status?: number
  /** Host and port that were called. */
  host?: string
  /** The provider's own code, such as `insufficient_quota`, or Node's for a connection that failed. */
  code?: string
  message?: string
  /** The field `details` of the provider's error, as JSON. */
  details?: string
  /** Whole seconds after which the provider allows another call. */
  retryAfter?: number
}

const LONGEST_WAIT_SECONDS = 24 * 3600

/** Reads the provider's report out of an error; `undefined` when the error is not about a model call. */
export function readProvider(error: unknown): ProviderReport | undefined {
  if (RetryError.isInstance(error)) return readProvider(error.lastError)
  if (StreamProviderError.isInstance(error)) {
    const { statusCode, type, code, message, data } = error
    const said = readBody(data)
    return defined({ ...said, status: statusCode, code: said.code ?? text(code ?? type), message })
  }
  if (!APICallError.isInstance(error)) return undefined
  const { statusCode, responseBody, responseHeaders, data, url, message, cause } = error
  const said = readBody(parse(responseBody) ?? data)
  return defined({
    status: statusCode,
    host: hostOf(url),
    code: said.code ?? connectionCode(cause),
    message: said.message ?? message,
    details: said.details,
    retryAfter: retryAfter(responseHeaders ?? {}) ?? said.retryAfter,
  })
}

interface Said {
  code?: unknown
  type?: unknown
  status?: unknown
  message?: unknown
  detail?: unknown
  error?: unknown
  details?: unknown
}

/** The providers' shapes: `{error: {code, type, message}}`, `[{error: …}]`, `{error: "…"}`, `{message}`, `{detail}`. */
function readBody(body: unknown): ProviderReport {
  const outer = (Array.isArray(body) ? body[0] : body) as Said | string | undefined | null
  if (typeof outer === 'string') return { message: outer }
  if (typeof outer !== 'object' || outer === null) return {}
  if (outer.error !== undefined && outer.error !== null) return readBody(outer.error)
  const { code, type, status, message, detail, details } = outer
  const delay = /"retryDelay":"(\d+(?:\.\d+)?)s"/.exec(JSON.stringify(details) ?? '')?.[1]
  return defined({
    code: [code, status, type].find((name) => typeof name === 'string') as string | undefined,
    message: text(message ?? detail),
    details: details === undefined ? undefined : JSON.stringify(details),
    retryAfter: seconds(delay === undefined ? undefined : Number(delay)),
  })
}

/** Reads `Retry-After` (RFC 9110 §10.2.3: seconds or a date), and OpenAI's `retry-after-ms`. */
function retryAfter(headers: Record<string, string>): number | undefined {
  const { 'retry-after-ms': ms, 'retry-after': after } = headers
  if (ms && Number.isFinite(Number(ms))) return seconds(Number(ms) / 1000)
  if (!after) return undefined
  return seconds(Number.isFinite(Number(after)) ? Number(after) : (Date.parse(after) - Date.now()) / 1000)
}

function seconds(value: number | undefined): number | undefined {
  if (value === undefined || !Number.isFinite(value)) return undefined
  return Math.min(Math.max(Math.ceil(value), 1), LONGEST_WAIT_SECONDS)
}

function parse(body: string | undefined): unknown {
  try {
    return body ? JSON.parse(body) : undefined
  } catch {
    // The body is HTML, or was cut off. The report then has the status alone.
    return undefined
  }
}

function connectionCode(cause: unknown): string | undefined {
  const { code, cause: deeper } = (cause ?? {}) as { code?: unknown; cause?: unknown }
  if (typeof code === 'string') return code
  return deeper === undefined ? undefined : connectionCode(deeper)
}

const hostOf = (url: string) => (URL.canParse(url) ? new URL(url).host : undefined)

function text(value: unknown): string | undefined {
  if (value === undefined || value === null) return undefined
  return typeof value === 'string' ? value : JSON.stringify(value)
}

function defined(
  report: { [Name in keyof ProviderReport]: ProviderReport[Name] | undefined },
): ProviderReport {
  return Object.fromEntries(Object.entries(report).filter(([, value]) => value !== undefined))
}
