import type { Run, RunState } from './run.ts'

/** A run that ends in one of these states frees its key: the same key then starts a new run. */
const FREES_KEY = new Set<RunState>([
  'COMPLETED_WITH_ERRORS',
  'CRASHED',
  'SYSTEM_FAILURE',
  'TIMED_OUT',
  'EXPIRED',
])

/** Lifetime of a key when the caller names none. */
export const DEFAULT_KEY_TTL_MS = 30 * 24 * 3_600_000

/** Idempotency keys, unique per task. A completed or cancelled run keeps its key until that expires. */
export class Keys {
  readonly #runs = new Map<string, Run>()

  find(taskId: string, hash: string, now: number): Run | undefined {
    const run = this.#runs.get(name(taskId, hash))
    if (!run?.key) return undefined
    if (run.key.expiresAt > now && !FREES_KEY.has(run.state)) return run
    this.forget(run)
    return undefined
  }

  remember(run: Run): void {
    if (run.key) this.#runs.set(name(run.taskId, run.key.hash), run)
  }

  forget(run: Run): void {
    if (!run.key) return
    const key = name(run.taskId, run.key.hash)
    if (this.#runs.get(key) === run) this.#runs.delete(key)
  }

  /** Frees a key at a caller's request. @returns false when no run has the key */
  reset(taskId: string, hash: string): boolean {
    return this.#runs.delete(name(taskId, hash))
  }
}

const name = (taskId: string, hash: string): string => `${taskId}\0${hash}`
