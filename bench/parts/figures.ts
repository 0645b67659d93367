/** The figures of one round of one case on one server. */
export interface Round {
  /** Number of answers in a second. */
  rate: number
  /** Latencies in milliseconds. */
  p50: number
  p99: number
  /** Microseconds of CPU of the server process for each answer. */
  cpu: number
}

/** The median of some figures, with the smallest and the largest figure. */
export interface Spread {
  median: number
  min: number
  max: number
}

export function spread(values: number[]): Spread {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  const [low = Number.NaN, high = Number.NaN] = [
    sorted[sorted.length % 2 ? middle : middle - 1],
    sorted[middle],
  ]
  return { median: (low + high) / 2, min: sorted[0] ?? Number.NaN, max: sorted.at(-1) ?? Number.NaN }
}

/**
 * The ratio of the first figure to the second, round by round, because a disturbance of the machine affects both figures
 * of a round. `isReal` is false when the rounds do not agree on which of the two is larger.
 */
export function ratio(first: number[], second: number[]): Spread & { isReal: boolean } {
  const ratios = first.map((value, round) => value / (second[round] ?? Number.NaN))
  const found = spread(ratios)
  return { ...found, isReal: found.min > 1 || found.max < 1 }
}

/** `1.24 (1.19–1.31)`; `≈ 1.02 (0.97–1.08)` where the rounds do not agree. */
export function ratioText({ median, min, max, isReal }: Spread & { isReal: boolean }): string {
  return `${isReal ? '' : '≈ '}${median.toFixed(2)} (${min.toFixed(2)}–${max.toFixed(2)})`
}
