import { problem } from '../errors.ts'
import type { PacedViewer } from './paced-viewer.ts'

export interface ClockSettings {
  /** Pause between two checks of all viewers. */
  tickMs: number
  /** Pause between two heartbeats of a silent connection. */
  heartbeatMs: number
  /** A viewer that has not read for this long is cut. */
  stallMs: number
  /** Viewers of one user. */
  perUser: number
}

export const CLOCK_SETTINGS: ClockSettings = {
  tickMs: 1_000,
  heartbeatMs: 10_000,
  stallMs: 60_000,
  perUser: 100,
}

/** After this long a user with too many viewers may have closed one. */
const CLOSED_SECONDS = 5

/** One timer for all viewers: sends heartbeats, cuts those with an expired token and those that do not read. */
export class ViewerClock<Viewer extends PacedViewer> {
  readonly viewers = new Set<Viewer>()
  readonly #settings: ClockSettings
  readonly #byUser = new Map<string, number>()
  #timer: NodeJS.Timeout | undefined
  #beatAt = 0

  constructor(settings: ClockSettings) {
    this.#settings = settings
  }

  /** @throws Problem `too_many_streams` when the user has as many viewers as one user may have */
  assertRoom(userId: string): void {
    const { perUser } = this.#settings
    if ((this.#byUser.get(userId) ?? 0) < perUser) return
    const detail = `${perUser} connections of this user are open.`
    throw problem('too_many_streams', { detail, retryAfter: CLOSED_SECONDS })
  }

  add(viewer: Viewer, userId: string): void {
    this.viewers.add(viewer)
    this.#count(userId, 1)
    viewer.once('close', () => {
      this.viewers.delete(viewer)
      this.#count(userId, -1)
      if (this.viewers.size > 0) return
      clearInterval(this.#timer)
      this.#timer = undefined
    })
    if (this.#timer !== undefined) return
    this.#beatAt = performance.now()
    this.#timer = setInterval(() => this.#tick(), this.#settings.tickMs).unref()
  }

  #count(userId: string, change: 1 | -1): void {
    const open = (this.#byUser.get(userId) ?? 0) + change
    if (open === 0) this.#byUser.delete(userId)
    else this.#byUser.set(userId, open)
  }

  cutAll(): void {
    for (const viewer of this.viewers) viewer.cut()
  }

  /** Resolves when no viewer is left. */
  async closed(): Promise<void> {
    await Promise.all(
      [...this.viewers].map((viewer) => new Promise((resolve) => viewer.once('close', resolve))),
    )
  }

  #tick(): void {
    const now = performance.now()
    const date = Date.now()
    const beats = now - this.#beatAt >= this.#settings.heartbeatMs
    if (beats) this.#beatAt = now
    for (const viewer of this.viewers) {
      if (date >= viewer.expiresAt || viewer.stalledFor(now) >= this.#settings.stallMs) viewer.cut()
      else if (beats) viewer.beat()
    }
  }
}
