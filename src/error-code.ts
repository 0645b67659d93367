/**
 * The `code` of an error: an SQLSTATE, a code of Node such as ECONNRESET, or the code of a problem.
 * @returns an empty string when the error carries none
 */
export function codeOf(error: unknown): string {
  return typeof error === 'object' && error !== null && 'code' in error ? String(error.code) : ''
}
