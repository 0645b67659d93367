import { EventEmitter } from 'node:events'
import { type ChildOptions, TaskProcess } from './child-process.ts'
import type { EngineLog } from './log.ts'
import type { Manifest } from './messages.ts'
import { Watchdog } from './watchdog.ts'

export interface PoolOptions extends ChildOptions {
  maxChildren: number
  /** Idle children that have loaded the task files and wait for a run. */
  spares: number
  /** Whether a developer changes the task files. While they cannot be loaded, `fault` says why. */
  isWatched: boolean
  log: EngineLog
}

/** Time after which an idle child is ended, when more children are idle than are wanted. */
const SURPLUS_MS = 60_000
/** A child is replaced after this many runs, which bounds the memory that its tasks can leak. */
const RUNS_PER_CHILD = 500
/** A child that has not loaded the task files within this time counts as broken. */
const LOAD_MS = 60_000
const RESTART_MS = { first: 500, last: 10_000 }

/**
 * The children. Emits `child` for each new child, `ready` when a child waits for a run, `manifest` with the tasks of the
 * task files, and `broken` when the task files could not be loaded.
 */
export class Pool extends EventEmitter<{
  child: [TaskProcess]
  ready: []
  manifest: [Manifest]
  broken: [string]
}> {
  readonly #options: PoolOptions
  readonly #watchdog: Watchdog
  readonly #starting = new Set<TaskProcess>()
  readonly #idle: TaskProcess[] = []
  readonly #busy = new Set<TaskProcess>()
  readonly #leaving = new Set<TaskProcess>()
  /** Children that were started before the task files changed. */
  readonly #outdated = new WeakSet<TaskProcess>()
  #wanted = 0
  #restartMs = RESTART_MS.first
  #restart: NodeJS.Timeout | undefined
  #surplus: NodeJS.Timeout | undefined
  #stopped = false
  #fault: string | undefined

  constructor(options: PoolOptions) {
    super()
    this.#options = options
    this.#watchdog = new Watchdog((error) =>
      options.log.warn(
        { err: error },
        'the watchdog of the local engine could not be started: if this process is killed, tasks may go on',
      ),
    )
  }

  get counts(): { starting: number; idle: number; busy: number; leaving: number } {
    const { size: starting } = this.#starting
    return { starting, idle: this.#idle.length, busy: this.#busy.size, leaving: this.#leaving.size }
  }

  get pids(): number[] {
    const all = [...this.#starting, ...this.#idle, ...this.#busy, ...this.#leaving]
    return all.flatMap((child) => child.pid ?? [])
  }

  /**
   * The reason why no child can be started, while a developer's task files cannot be loaded. In every other case a
   * child that does not start is attributed to a short lack of memory or time, and runs wait for the next attempt.
   */
  get fault(): string | undefined {
    return this.#options.isWatched ? this.#fault : undefined
  }

  /** Starts the first children. At least one is needed, because it reports the tasks of the task files. */
  open(): void {
    for (let n = Math.max(1, this.#options.spares); n > 0; n--) this.#start()
  }

  /** Starts the children that are missing when so many runs wait for one. */
  want(runs: number): void {
    this.#wanted = runs
    if (this.#restart) return
    const { maxChildren, spares } = this.#options
    const missing = () => this.#wanted + spares - this.#idle.length - this.#starting.size
    const free = () => maxChildren - this.#idle.length - this.#starting.size - this.#busy.size
    while (!this.#stopped && missing() > 0 && free() > 0) this.#start()
  }

  take(): TaskProcess | undefined {
    const child = this.#idle.pop()
    if (child) this.#busy.add(child)
    return child
  }

  /** Makes a child idle after its run. A child with enough runs, or with older task files, is ended instead. */
  give(child: TaskProcess): void {
    if (!this.#busy.delete(child)) return
    if (this.#outdated.has(child) || child.runs >= RUNS_PER_CHILD || this.#stopped) this.#end(child)
    else this.#rest(child)
  }

  /** Takes a child out of use. The caller ends it afterwards. */
  retire(child: TaskProcess): void {
    const place = this.#idle.indexOf(child)
    if (place >= 0) this.#idle.splice(place, 1)
    else if (!this.#busy.delete(child)) return
    this.#leaving.add(child)
    this.want(this.#wanted)
  }

  /** Replaces every child by one that loads the changed task files. A busy child is replaced when its run has ended. */
  reload(): void {
    for (const child of this.#busy) this.#outdated.add(child)
    const old = [...this.#starting, ...this.#idle.splice(0)]
    this.#starting.clear()
    for (const child of old) this.#end(child)
    clearTimeout(this.#restart)
    this.#restart = undefined
    this.#restartMs = RESTART_MS.first
    this.#fault = undefined
    this.want(this.#wanted)
  }

  async stop(): Promise<void> {
    this.#stopped = true
    clearTimeout(this.#restart)
    clearTimeout(this.#surplus)
    const idle = [...this.#starting, ...this.#idle.splice(0)]
    this.#starting.clear()
    const ends = idle.map((child) => child.end())
    ends.push(...[...this.#busy, ...this.#leaving].map((child) => child.end()))
    await Promise.all(ends)
    this.#watchdog.stop()
  }

  #start(): void {
    const child = new TaskProcess(this.#options)
    this.#starting.add(child)
    this.emit('child', child)
    const { pid } = child
    if (pid !== undefined) this.#watchdog.guard(pid, child.mark)
    let isReported = false
    const fail = (error: string) => {
      if (isReported || this.#stopped) return
      isReported = true
      // The next child mostly fails in the same way, so the same fault is logged once.
      if (error !== this.#fault) this.#options.log.error({}, `the task files cannot be loaded: ${error}`)
      this.#fault = error
      this.emit('broken', error)
    }
    const late = setTimeout(() => {
      fail(`still loading after ${LOAD_MS / 1000} s`)
      void child.kill()
    }, LOAD_MS).unref()
    child.once('ready', (manifest) => {
      clearTimeout(late)
      if (!this.#starting.delete(child)) return
      this.#restartMs = RESTART_MS.first
      this.#fault = undefined
      this.emit('manifest', manifest)
      this.#rest(child)
    })
    child.once('loadFailed', fail)
    child.once('exit', ({ code, signal }) => {
      clearTimeout(late)
      if (pid !== undefined) this.#watchdog.release(pid, child.mark)
      if (this.#starting.has(child)) fail(endWhileLoading(pid, code, signal))
      this.#left(child, signal)
    })
  }

  #rest(child: TaskProcess): void {
    this.#idle.push(child)
    this.emit('ready')
    if (this.#idle.length > this.#options.spares) this.#shrinkLater()
  }

  #end(child: TaskProcess): void {
    this.#leaving.add(child)
    void child.end()
  }

  #left(child: TaskProcess, signal: NodeJS.Signals | null): void {
    this.#busy.delete(child)
    this.#leaving.delete(child)
    const place = this.#idle.indexOf(child)
    if (place >= 0) this.#idle.splice(place, 1)
    // A child that dies while it starts would die again at once, unless a signal has killed it.
    if (this.#starting.delete(child) && signal !== 'SIGKILL') this.#restartLater()
    this.want(this.#wanted)
  }

  /** Delays the start of the next child, longer each time. */
  #restartLater(): void {
    if (this.#stopped || this.#restart) return
    this.#restart = setTimeout(() => {
      this.#restart = undefined
      this.want(this.#wanted)
    }, this.#restartMs).unref()
    this.#restartMs = Math.min(this.#restartMs * 2, RESTART_MS.last)
  }

  #shrinkLater(): void {
    this.#surplus ??= setTimeout(() => {
      this.#surplus = undefined
      const surplus = this.#idle.splice(0, Math.max(0, this.#idle.length - this.#options.spares))
      for (const child of surplus) this.#end(child)
    }, SURPLUS_MS).unref()
  }
}

function endWhileLoading(
  pid: number | undefined,
  code: number | null,
  signal: NodeJS.Signals | null,
): string {
  if (pid === undefined) return 'the process that loads them could not be started'
  return `the process that loads them ended by ${signal ?? `itself, with code ${code}`}`
}
