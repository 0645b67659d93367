import type { Run } from './run.ts'

interface Lane {
  waiting: Run[]
  holding: Set<Run>
  limit: number
}

/**
 * Decides which run is next. Each queue has one lane per concurrency key. A lane is first in, first out, and gives
 * `limit` runs a slot at a time. Runs that have a slot wait in one line for a child, in the order in which they got
 * their slots.
 */
export class Queues {
  readonly #lanes = new Map<string, Lane>()
  readonly #limits = new Map<string, number | undefined>()
  #ready: Run[] = []

  /** Declares a queue and its limit per concurrency key; without a limit every run has a slot at once. */
  declare(name: string, limit: number | undefined): void {
    this.#limits.set(name, limit)
    for (const [key, lane] of this.#lanes) {
      if (!key.startsWith(`${name}\0`)) continue
      lane.limit = limit ?? Number.POSITIVE_INFINITY
      this.#admit(lane)
    }
  }

  isDeclared(name: string): boolean {
    return this.#limits.has(name)
  }

  /** The number of runs that have a slot and wait for a child. */
  get ready(): number {
    return this.#ready.length
  }

  enqueue(run: Run): void {
    const lane = this.#lane(run)
    lane.waiting.push(run)
    this.#admit(lane)
  }

  /** Puts a retried run, which has kept its slot, in line for a child again. */
  requeue(run: Run): void {
    this.#ready.push(run)
  }

  next(): Run | undefined {
    return this.#ready.shift()
  }

  /** Removes a run from its lane and from the line, and gives its slot to the next run of its lane. */
  release(run: Run): void {
    const key = laneKey(run)
    const lane = this.#lanes.get(key)
    if (!lane) return
    if (lane.holding.delete(run)) this.#ready = without(this.#ready, run)
    else lane.waiting = without(lane.waiting, run)
    this.#admit(lane)
    if (lane.holding.size === 0 && lane.waiting.length === 0) this.#lanes.delete(key)
  }

  #admit(lane: Lane): void {
    while (lane.holding.size < lane.limit) {
      const run = lane.waiting.shift()
      if (!run) return
      lane.holding.add(run)
      this.#ready.push(run)
    }
  }

  #lane(run: Run): Lane {
    const key = laneKey(run)
    let lane = this.#lanes.get(key)
    if (!lane) {
      lane = {
        waiting: [],
        holding: new Set(),
        limit: this.#limits.get(run.queue) ?? Number.POSITIVE_INFINITY,
      }
      this.#lanes.set(key, lane)
    }
    return lane
  }
}

const laneKey = (run: Run): string => `${run.queue}\0${run.concurrencyKey ?? ''}`
const without = (runs: Run[], run: Run): Run[] =>
  runs.includes(run) ? runs.filter((other) => other !== run) : runs
