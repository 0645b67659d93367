import type { Run } from './run.ts'
import type { RunStore } from './store.ts'

/** The one-time public tokens that were used. Each of them may start one run. */
export class OneTimeTokens {
  readonly #runs = new Map<string, Run>()

  constructor(store: RunStore) {
    // The token has expired by then.
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
