type Check = () => Promise<unknown> | unknown

/** What `GET /readyz` answers. */
export interface Readiness {
  status: 'ok' | 'degraded' | 'starting' | 'draining'
  components: Record<string, 'ok' | 'down'>
  details?: Record<string, unknown>
}

export interface Health {
  /** Adds a component without which the service is not ready. `check` rejects while the component is away; 1 s at most. */
  add(name: string, check: Check, options?: { timeoutMs?: number }): void
  /** Adds a value that every answer of readiness shows. */
  detail(name: string, read: () => unknown): void
  /** Makes readiness say from now on that traffic should go to other instances. */
  drain(): void
  readonly draining: boolean
  readiness(): Promise<Readiness>
}

const CHECK_TIMEOUT_MS = 1000
const CACHE_MS = 1000

/**
 * The service is ready once every component has answered. An outage after that is "degraded" and still ready, because
 * most of the service works on, and because an orchestrator that took the instance away would make the outage worse.
 */
export function createHealth(now: () => number = () => performance.now()): Health {
  const checks = new Map<string, () => Promise<boolean>>()
  const details = new Map<string, () => unknown>()
  const seen = new Set<string>()
  let draining = false
  let last: { at: number; components: Promise<Readiness['components']> } | undefined

  async function ask(): Promise<Readiness['components']> {
    const states = await Promise.all(
      [...checks].map(async ([name, check]) => {
        const up = await check()
        if (up) seen.add(name)
        return [name, up ? 'ok' : 'down'] as const
      }),
    )
    return Object.fromEntries(states)
  }

  function status(components: Readiness['components']): Readiness['status'] {
    if (draining) return 'draining'
    if ([...checks.keys()].some((name) => !seen.has(name))) return 'starting'
    return Object.values(components).every((state) => state === 'ok') ? 'ok' : 'degraded'
  }

  return {
    add(name, check, { timeoutMs = CHECK_TIMEOUT_MS } = {}) {
      checks.set(name, () => passes(check, Math.min(timeoutMs, CHECK_TIMEOUT_MS)))
    },
    detail: (name, read) => void details.set(name, read),
    drain: () => {
      draining = true
    },
    get draining() {
      return draining
    },
    async readiness() {
      if (last === undefined || now() - last.at >= CACHE_MS) last = { at: now(), components: ask() }
      const components = await last.components
      const more = Object.fromEntries([...details].map(([name, read]) => [name, read()]))
      return { status: status(components), components, ...(details.size === 0 ? {} : { details: more }) }
    },
  }
}

async function passes(check: Check, timeoutMs: number): Promise<boolean> {
  const { promise: timeout, resolve } = Promise.withResolvers<boolean>()
  const timer = setTimeout(() => resolve(false), timeoutMs).unref()
  try {
    return await Promise.race([
      timeout,
      Promise.resolve()
        .then(check)
        .then(() => true),
    ])
  } catch {
    return false // The component itself logs why it is away.
  } finally {
    clearTimeout(timer)
  }
}
