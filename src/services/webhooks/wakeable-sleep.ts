/** A sleep that another part of the process can end. A wake-up while no sleep goes on ends the next one at once. */
export function wakeableSleep() {
  let end: (() => void) | undefined
  let isWoken = false
  return {
    wake(): void {
      isWoken = true
      end?.()
    },
    async sleep(ms: number, signal: AbortSignal): Promise<void> {
      const { promise, resolve } = Promise.withResolvers<void>()
      const timer = setTimeout(resolve, isWoken || signal.aborted ? 0 : ms)
      end = resolve
      signal.addEventListener('abort', resolve as () => void)
      await promise
      clearTimeout(timer)
      signal.removeEventListener('abort', resolve as () => void)
      end = undefined
      isWoken = false
    },
  }
}
