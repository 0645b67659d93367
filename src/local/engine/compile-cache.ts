import { enableCompileCache } from 'node:module'
import { fileURLToPath } from 'node:url'

/** Folder of compiled code. A process that finds it starts in three quarters of the time and needs 15 to 20 MB less. */
export const COMPILE_CACHE = fileURLToPath(
  new URL('../../../node_modules/.cache/local-engine', import.meta.url),
)

/**
 * Makes this process read and extend the compile cache. A folder that cannot be written is ignored. The cache serves only
 * modules that are imported later, so the caller imports the engine dynamically.
 */
export function cacheCompiledCode(): void {
  enableCompileCache(COMPILE_CACHE)
}
