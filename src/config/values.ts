import type { Settings } from './settings.ts'

/** The items of a comma-separated setting. */
export function list(value: string | undefined): string[] {
  return (value ?? '')
    .split(',')
    .map((item) => item.trim())
    .filter((item) => item !== '')
}

/** The settings that the embedded worker reads. */
export function agentEnvironment(settings: Settings): Record<string, string> {
  return Object.fromEntries(
    Object.entries(settings).flatMap(([name, value]) =>
      name.startsWith('AGENT_') && !name.endsWith('_FILE') && value !== undefined
        ? [[name, String(value)]]
        : [],
    ),
  )
}

/** SHUTDOWN_DELAY_SECONDS, or its default. Without production no balancer has to notice, and Ctrl-C ends at once. */
export function shutdownDelay(settings: Settings): number {
  const { SHUTDOWN_DELAY_SECONDS, SHUTDOWN_TIMEOUT_SECONDS, NODE_ENV } = settings
  if (SHUTDOWN_DELAY_SECONDS !== undefined) return SHUTDOWN_DELAY_SECONDS
  return NODE_ENV === 'production' ? Math.min(5, Math.floor(SHUTDOWN_TIMEOUT_SECONDS / 5)) : 0
}
