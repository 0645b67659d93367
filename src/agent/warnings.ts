/** Something that was missing in a turn which went on without it. */
export interface TurnWarning {
  /** One of `WARNING_CODES`, or a code of another version. */
  code: string
  /** A sentence that a user may read. */
  message: string
}

export const WARNING_CODES = ['mcp_unavailable', 'mcp_tool_left_out'] as const
/** Most warnings of a turn. */
export const MAX_WARNINGS = 20
const MAX_MESSAGE = 500

/** The warnings in what a worker has sent; what is none is left out. */
export function readWarnings(value: unknown): TurnWarning[] {
  if (!Array.isArray(value)) return []
  return value.slice(0, MAX_WARNINGS).flatMap((one: unknown) => {
    const { code, message } = (one ?? {}) as Partial<Record<keyof TurnWarning, unknown>>
    const isWarning = typeof code === 'string' && /^[a-z_]{1,64}$/.test(code) && typeof message === 'string'
    return isWarning
      ? [{ code, message: message.slice(0, MAX_MESSAGE).toWellFormed().replaceAll('\0', '') }]
      : []
  })
}
