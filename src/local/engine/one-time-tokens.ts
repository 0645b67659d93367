import type { Run } from './run.ts'
import type { RunStore } from './store.ts'

/** Public tokens that are good for one run, and the runs that they were used for. */
export class OneTimeTokens {
  readonly #runs = new Map<string, Run>()

  constructor(store: RunStore) {
    // By then the token has expired.
    store.on('forget', (run) => {
      for (const [token, used] of this.#runs) if (used === run) this.#runs.delete(token)
    })
  }

  isUsed(token: string): boolean {
    return this.#runs.has(token)
  }

  use(token: string, run: Run): void {
    this.#runs.set(token, run)
  }
}
