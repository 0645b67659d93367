import { createContext, Script } from 'node:vm'

const script = new Script('work()')
const context = createContext({ work: undefined })

/**
 * Carries out synchronous work that its caller's data can make endless, such as a regular expression of the caller's.
 * @throws Error when the work takes longer than `ms`
 */
export function bounded<T>(ms: number, work: () => T): T {
  context.work = work
  try {
    return script.runInContext(context, { timeout: ms })
  } finally {
    context.work = undefined
  }
}

/** Whether work was ended because it took too long. */
export const isTooSlow = (error: unknown): boolean =>
  (error as { code?: unknown } | undefined)?.code === 'ERR_SCRIPT_EXECUTION_TIMEOUT'
