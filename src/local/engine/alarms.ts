/** The longest timer of Node, in milliseconds. Node fires a longer one at once. */
const MAX_TIMER_MS = 2 ** 31 - 1

/** One timer for each key. The timers do not keep the process alive. */
export class Alarms<Key> {
  readonly #timers = new Map<Key, NodeJS.Timeout>()

  /** Calls `ring` after `ms` milliseconds. An earlier alarm of the same key is dropped. */
  set(key: Key, ms: number, ring: () => void): void {
    this.clear(key)
    const rest = ms - MAX_TIMER_MS
    const timer = setTimeout(
      () => {
        this.#timers.delete(key)
        if (rest > 0) this.set(key, rest, ring)
        else ring()
      },
      Math.min(Math.max(0, ms), MAX_TIMER_MS),
    ).unref()
    this.#timers.set(key, timer)
  }

  clear(key: Key): void {
    clearTimeout(this.#timers.get(key))
    this.#timers.delete(key)
  }

  clearAll(): void {
    for (const timer of this.#timers.values()) clearTimeout(timer)
    this.#timers.clear()
  }
}
