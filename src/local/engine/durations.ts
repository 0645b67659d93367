const UNITS: Record<string, number> = { w: 604_800, d: 86_400, h: 3_600, hr: 3_600, m: 60, s: 1 }

/** Milliseconds of a duration as Trigger.dev writes it ("1h30m", "10m", "45s"); undefined for any other text. */
export function durationMs(text: string): number | undefined {
  if (!/^(\d+(w|d|hr|h|m|s))+$/.test(text)) return undefined
  let seconds = 0
  for (const [, count, unit] of text.matchAll(/(\d+)(w|d|hr|h|m|s)/g)) {
    seconds += Number(count) * (UNITS[unit ?? ''] ?? 0)
  }
  return seconds * 1000
}

/** The moment at which a delay ends. A delay is a duration or a date; any other text gives undefined. */
export function delayEnd(delay: string | Date, now: number): Date | undefined {
  if (typeof delay === 'string') {
    const ms = durationMs(delay)
    if (ms !== undefined) return new Date(now + ms)
  }
  const date = new Date(delay)
  return Number.isNaN(date.getTime()) ? undefined : date
}
