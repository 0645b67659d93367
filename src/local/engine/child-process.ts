import { type ChildProcess, spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { EventEmitter, once } from 'node:events'
import { setTimeout } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type { TaskRunExecution, TaskRunExecutionResult } from '@trigger.dev/core/v3/schemas'
import { ZodIpcConnection } from '@trigger.dev/core/v3/zodIpc'
import { watchMemory } from './memory.ts'
import { fromChild, type Manifest, toChild } from './messages.ts'
import { PrintBudget, readLines } from './printed-lines.ts'
import { CHILD_VARIABLE, endStrays } from './strays.ts'

const CHILD = fileURLToPath(new URL('./child.ts', import.meta.url))

/** Time for a task's onCancel hooks, as on Trigger.dev. */
const ON_CANCEL_MS = 30_000
/** Time for the hooks together with the last writes after them. */
const WIND_UP_MS = ON_CANCEL_MS + 2_000
/** Between SIGTERM and SIGKILL at the end of an idle child. */
const TERM_MS = 2_000
/** A child that has not acknowledged a cancel within this time has a blocked event loop. */
const DEAF_MS = 2_000
/** Longest wait for the last output of a child that has exited. */
const DRAIN_MS = 1_000

export interface ChildOptions {
  taskModules: string[]
  env: Record<string, string>
  nodeFlags: string[]
  /** Bound of a child's resident memory. A child that exceeds it is killed. */
  maxMemoryBytes: number
}

export interface ChildEvents {
  ready: [Manifest]
  loadFailed: [string]
  started: [string]
  cancelling: []
  woundUp: []
  completed: [TaskRunExecutionResult]
  /** Comes after `completed`, with the traces that the run has left in the process. */
  rested: [string[]]
  maxDuration: []
  /** The child has exceeded the bound of its memory. */
  tooLarge: []
  uncaught: [{ name: string; message: string; stack?: string | undefined }]
  log: [{ runId: string; level: string; message: string }]
  exit: [{ code: number | null; signal: NodeJS.Signals | null }]
}

/**
 * One child and the exchange of messages with it. The child leads a process group of its own, so that Ctrl-C in a
 * terminal reaches the parent alone. It ends when the channel to the parent closes.
 */
export class TaskProcess extends EventEmitter<ChildEvents> {
  readonly exited: Promise<void>
  readonly #child: ChildProcess
  readonly #ipc: ZodIpcConnection<typeof fromChild, typeof toChild>
  /** The value by which programs of the child's tasks are found. It is in the environment of each of these programs. */
  readonly mark = randomUUID()
  readonly #budget = new PrintBudget()
  /** Whether the child has exited. From then on its process id may belong to another process. */
  #hasExited = false
  runs = 0

  constructor(options: ChildOptions) {
    super()
    this.#child = spawn(process.execPath, [...options.nodeFlags, CHILD, ...options.taskModules], {
      env: { ...options.env, [CHILD_VARIABLE]: this.mark },
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    })
    const { pid } = this.#child
    const unwatch =
      pid === undefined ? () => {} : watchMemory(pid, options.maxMemoryBytes, () => this.emit('tooLarge'))
    const closed = new Promise<void>((resolve) => this.#child.once('close', () => resolve()))
    this.exited = new Promise((resolve) => {
      this.#child.on('error', () => {
        // Either the child could not be started, or a message could not be sent to it. In the second case the child is about
        // to exit, and the signal ends it in any case.
        if (this.#child.pid === undefined) this.#ended(resolve, null, null)
        else this.#signal('SIGKILL')
      })
      this.#child.once('exit', async (code, signal) => {
        this.#signal('SIGKILL')
        this.#hasExited = true
        unwatch()
        await endStrays(this.mark)
        // The pipes still hold what the child wrote before it ended.
        await Promise.race([closed, setTimeout(DRAIN_MS, undefined, { ref: false })])
        this.#ended(resolve, code, signal)
      })
    })
    this.#readLines('stdout', 'info')
    this.#readLines('stderr', 'error')
    this.#ipc = new ZodIpcConnection({
      listenSchema: fromChild,
      emitSchema: toChild,
      process: this.#child,
      handlers: {
        READY: async ({ manifest }) => void this.emit('ready', manifest),
        LOAD_FAILED: async ({ error }) => void this.emit('loadFailed', error),
        RUN_STARTED: async ({ runId }) => void this.emit('started', runId),
        CANCELLING: async () => void this.emit('cancelling'),
        WOUND_UP: async () => void this.emit('woundUp'),
        TASK_RUN_COMPLETED: async ({ result }) => void this.emit('completed', result),
        RESTED: async ({ leftovers }) => void this.emit('rested', leftovers),
        MAX_DURATION_EXCEEDED: async () => void this.emit('maxDuration'),
        UNCAUGHT_EXCEPTION: async ({ error }) => void this.emit('uncaught', error),
        LOG: async (line) => void this.emit('log', line),
      },
    })
  }

  get pid(): number | undefined {
    return this.#child.pid
  }

  async execute(execution: TaskRunExecution): Promise<void> {
    this.runs++
    this.#budget.reset()
    await this.#ipc.send('EXECUTE_TASK_RUN', {
      execution,
      traceContext: execution.run.traceContext ?? {},
      metadata: { id: 'worker_local', version: execution.run.version ?? '', contentHash: 'local' },
      isWarmStart: this.runs > 1,
    })
  }

  /** Tells the child that its run is cancelled, waits for the hooks and the last writes of the run, then kills it. */
  async cancel(): Promise<void> {
    const listens = once(this, 'cancelling').then(() => true)
    const woundUp = once(this, 'woundUp')
    const exited = this.exited.then(() => false)
    // Core's own acknowledgement has a timer that would keep this process alive, so it is not used.
    await this.#ipc.send('CANCEL', { timeoutInMs: ON_CANCEL_MS })
    const isListening = await Promise.race([listens, exited, setTimeout(DEAF_MS, false, { ref: false })])
    if (isListening) await Promise.race([woundUp, exited, setTimeout(WIND_UP_MS, undefined, { ref: false })])
    await this.kill()
  }

  async kill(): Promise<void> {
    // The programs end before the child: once the child has ended, a program without its group and its mark can no
    // longer be found as its descendant.
    if (!this.#hasExited) await endStrays(this.mark, this.#child.pid)
    this.#signal('SIGKILL')
    await this.exited
  }

  /** Ends the programs that the child's tasks have started, then the child: by SIGTERM, and by SIGKILL after a while. */
  async end(): Promise<void> {
    if (!this.#hasExited) await endStrays(this.mark, this.#child.pid)
    this.#signal('SIGTERM')
    await Promise.race([this.exited, setTimeout(TERM_MS, undefined, { ref: false })])
    await this.kill()
  }

  #ended(resolve: () => void, code: number | null, signal: NodeJS.Signals | null): void {
    this.emit('exit', { code, signal })
    resolve()
  }

  /** Signals the whole process group, so that programs which a task started in it end with the child. */
  #signal(signal: NodeJS.Signals): void {
    if (this.#child.pid === undefined || this.#hasExited) return
    try {
      process.kill(-this.#child.pid, signal)
    } catch {
      // ESRCH: the whole group has ended already.
    }
  }

  #readLines(name: 'stdout' | 'stderr', level: string): void {
    const stream = this.#child[name]
    if (!stream) return
    readLines(stream, (line) => {
      const message = this.#budget.take(line)
      if (message !== undefined) this.emit('log', { runId: '', level, message })
    })
  }
}
