/** Waits for changes of rows. All waits of an instance share one query per 250 ms. Without waits there is no query. */
export interface ChangeWatch {
  /**
   * Resolves when the version of `id` differs from `version`, after `milliseconds`, when `signal` aborts, or when `wake`
   * is called for `id`. Never rejects, because the caller reads the row afterwards in any case.
   */
  changed(id: string, version: string, milliseconds: number, signal?: AbortSignal): Promise<void>
  /** Wakes all waits for `id`: this instance has just changed its row. */
  wake(id: string): void
  /** Ends all waits because the instance drains. A later wait ends at once. */
  release(): void
  /** Whether `release` was called. */
  released(): boolean
  /** How many waits there are, for metrics and tests. */
  count(): number
}

interface Wait {
  id: string
  version: string
  end: () => void
}

const INTERVAL_MS = 250

/** @param versionsOf reads the versions of these ids; an id without a version counts as unchanged */
export function changeWatch(versionsOf: (ids: string[]) => Promise<Map<string, string>>): ChangeWatch {
  const waits = new Set<Wait>()
  let timer: NodeJS.Timeout | undefined
  let released = false

  async function compare(): Promise<void> {
    const ids = [...new Set([...waits].map((wait) => wait.id))]
    if (ids.length === 0) return
    // While the database is away, all rows count as unchanged, and the waits go on until the next query.
    const versions = await versionsOf(ids).catch(() => new Map<string, string>())
    for (const wait of waits) {
      const version = versions.get(wait.id)
      if (version !== undefined && version !== wait.version) wait.end()
    }
  }

  function schedule(): void {
    if (timer !== undefined || waits.size === 0) return
    timer = setTimeout(async () => {
      await compare()
      timer = undefined
      schedule()
    }, INTERVAL_MS)
  }

  return {
    changed(id, version, milliseconds, signal) {
      if (released || signal?.aborted || milliseconds <= 0) return Promise.resolve()
      return new Promise((resolve) => {
        const wait: Wait = {
          id,
          version,
          end: () => {
            waits.delete(wait)
            clearTimeout(limit)
            signal?.removeEventListener('abort', wait.end)
            resolve()
          },
        }
        const limit = setTimeout(wait.end, milliseconds)
        signal?.addEventListener('abort', wait.end, { once: true })
        waits.add(wait)
        schedule()
      })
    },
    wake(id) {
      for (const wait of waits) if (wait.id === id) wait.end()
    },
    release() {
      released = true
      for (const wait of waits) wait.end()
    },
    released: () => released,
    count: () => waits.size,
  }
}
