/** The options of every logger of the process. Errors are logged with the fields of `plainError` alone. */
export function logOptions(level: string) {
  return { level, serializers: { err: (error: unknown) => plainError(error) } }
}

interface PlainError {
  type: string
  message: string
  stack: string
  [field: string]: unknown
}

const DEPTH_MAX = 5

/**
 * The fields of an error that say what happened. All other fields are left out. Postgres quotes whole rows in `detail`,
 * and HTTP clients keep headers and bodies, so tokens and messages would get into the log.
 */
function plainError(error: unknown, depth = 0): PlainError {
  if (!(error instanceof Error))
    return { type: typeof error, message: 'the code has thrown a value that is no Error', stack: '' }
  const { name, message, stack = '', cause } = error
  const { code, status, statusCode, constraint, table } = error as unknown as Record<string, unknown>
  const known = { type: name, message, code, status: status ?? statusCode, constraint, table, stack }
  if (cause === undefined || depth === DEPTH_MAX) return known
  return { ...known, cause: plainError(cause, depth + 1) }
}
