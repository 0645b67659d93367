import type { TaskRunError, TaskRunExecutionResult } from '@trigger.dev/core/v3/schemas'
import { Alarms } from './alarms.ts'
import type { TaskProcess } from './child-process.ts'
import { durationMs } from './durations.ts'
import { executionOf } from './executions.ts'
import type { Keys } from './keys.ts'
import type { EngineLog } from './log.ts'
import type { Manifest, TaskManifest } from './messages.ts'
import { applyMetadata } from './metadata.ts'
import { errorOfExit, stateOfError } from './outcomes.ts'
import type { Pool } from './pool.ts'
import type { Queues } from './queues.ts'
import { isFinal, type Packet, type Run, type RunKey, type RunState } from './run.ts'
import type { RunStore } from './store.ts'
import { packetJson } from './values.ts'

/** What a caller wants to be run. */
export interface RunOrder {
  taskId: string
  payload: Packet
  queue?: string | undefined
  concurrencyKey?: string | undefined
  key?: RunKey | undefined
  ttl?: string | undefined
  delayUntil?: Date | undefined
  maxDuration?: number | undefined
  maxAttempts?: number | undefined
  tags: string[]
  metadata?: Record<string, unknown> | undefined
  isTest: boolean
  parent?: Run | undefined
}

export interface LifecycleParts {
  store: RunStore
  queues: Queues
  keys: Keys
  pool: Pool
  log: EngineLog
  newId: (prefix: string) => string
  version: string
}

/** Development environments give runs this ttl when neither caller nor task does. */
const DEFAULT_TTL = '10m'
const MIN_MAX_DURATION_S = 5
/** A retry that waits longer gives its slot up and is queued anew. */
const KEEP_SLOT_MS = 30_000
/** A process that counts its own time may be this late before the engine counts for it. */
const OVERTIME_MS = 10_000
/** A child that dies before the run has begun costs the run nothing, but not endlessly. */
const MAX_LOST_STARTS = 5

/** Moves runs from state to state: the only place where the state of a run changes. */
export class Lifecycle {
  readonly #parts: LifecycleParts
  readonly #alarms = new Alarms<Run>()
  readonly #running = new Map<TaskProcess, Run>()
  readonly #lostStarts = new WeakMap<Run, number>()
  #tasks = new Map<string, TaskManifest>()
  #seq = 0
  #dispatching = false

  constructor(parts: LifecycleParts) {
    this.#parts = parts
    parts.pool.on('ready', () => this.#dispatchSoon())
    parts.pool.on('child', (child) => this.#follow(child))
    parts.pool.on('manifest', (manifest) => this.#learn(manifest))
  }

  stop(): void {
    this.#alarms.clearAll()
  }

  /** Makes a run and lines it up; it starts after the caller has been answered. */
  trigger(order: RunOrder): Run {
    const task = this.#tasks.get(order.taskId)
    const now = new Date()
    const maxDuration = order.maxDuration ?? task?.maxDuration
    const run: Run = {
      id: this.#parts.newId('run'),
      seq: ++this.#seq,
      taskId: order.taskId,
      payload: order.payload,
      queue: order.queue ?? task?.queue ?? `task/${order.taskId}`,
      concurrencyKey: order.concurrencyKey,
      key: order.key,
      ttl: order.ttl ?? (task?.ttl === undefined ? DEFAULT_TTL : ttlText(task.ttl)),
      maxDuration: maxDuration && Math.max(maxDuration, MIN_MAX_DURATION_S),
      maxAttempts: order.maxAttempts ?? task?.maxAttempts ?? 1,
      isTest: order.isTest,
      parentId: order.parent?.id,
      rootId: order.parent && (order.parent.rootId ?? order.parent.id),
      depth: order.parent ? order.parent.depth + 1 : 0,
      children: [],
      createdAt: now,
      state: order.delayUntil ? 'DELAYED' : 'PENDING',
      tags: order.tags,
      metadata: order.metadata,
      output: undefined,
      error: undefined,
      attempt: 0,
      usageMs: 0,
      updatedAt: now,
      queuedAt: undefined,
      delayUntil: order.delayUntil,
      startedAt: undefined,
      expiredAt: undefined,
      completedAt: undefined,
      firstChange: 0,
      lastChange: 0,
      streams: new Map(),
    }
    order.parent?.children.push(run)
    this.#parts.keys.remember(run)
    if (order.delayUntil) this.#delay(run, order.delayUntil)
    else this.#lineUp(run)
    this.#parts.store.add(run)
    return run
  }

  /** Moves the start of a delayed run; false when it is not (or no longer) delayed. */
  reschedule(run: Run, until: Date): boolean {
    if (run.state !== 'DELAYED') return false
    this.#delay(run, until)
    this.#parts.store.changed(run)
    return true
  }

  /**
   * Cancels a run; one that is final stays as it is. The state changes and the slot is free at once, the process
   * of a started run winds up meanwhile.
   */
  cancel(run: Run): void {
    if (isFinal(run.state)) return
    const child = [...this.#running].find(([, other]) => other === run)?.[0]
    run.state = 'CANCELED'
    run.error = { type: 'STRING_ERROR', raw: 'Canceled by user' }
    this.#alarms.clear(run)
    this.#parts.queues.release(run)
    if (child) void this.#stopChild(child, run)
    else run.completedAt = new Date()
    this.#parts.store.changed(run)
    this.#dispatchSoon()
  }

  #delay(run: Run, until: Date): void {
    run.delayUntil = until
    this.#alarms.set(run, until.getTime() - Date.now(), () => {
      this.#lineUp(run)
      this.#parts.store.changed(run)
    })
  }

  /** Into the queue, unless nobody knows the task or the queue: then the run waits for a version that does. */
  #lineUp(run: Run): void {
    run.queuedAt ??= new Date()
    if (!this.#tasks.has(run.taskId) || !this.#parts.queues.isDeclared(run.queue)) {
      run.state = 'PENDING_VERSION'
      return
    }
    run.state = 'PENDING'
    this.#parts.queues.enqueue(run)
    const ttl = run.attempt === 0 && run.ttl ? durationMs(run.ttl) : undefined
    if (ttl !== undefined) this.#alarms.set(run, ttl, () => this.#expire(run))
    this.#dispatchSoon()
  }

  #expire(run: Run): void {
    if (run.state !== 'PENDING') return
    run.expiredAt = new Date()
    this.#finish(run, 'EXPIRED', {
      type: 'STRING_ERROR',
      raw: `Run expired because the TTL (${run.ttl}) was reached`,
    })
  }

  #dispatchSoon(): void {
    if (this.#dispatching) return
    this.#dispatching = true
    setImmediate(() => {
      this.#dispatching = false
      this.#dispatch()
    })
  }

  #dispatch(): void {
    const { pool, queues } = this.#parts
    while (queues.ready > 0) {
      const child = pool.take()
      if (!child) break
      const run = queues.next()
      if (run) this.#start(run, child)
      else pool.give(child)
    }
    pool.want(queues.ready)
  }

  #start(run: Run, child: TaskProcess): void {
    const task = this.#tasks.get(run.taskId)
    if (!task) {
      this.#parts.pool.give(child)
      this.#finish(run, 'SYSTEM_FAILURE', { type: 'INTERNAL_ERROR', code: 'COULD_NOT_FIND_TASK' })
      return
    }
    this.#running.set(child, run)
    run.state = 'DEQUEUED'
    run.attempt++
    if (run.maxDuration)
      this.#alarms.set(run, run.maxDuration * 1000 + OVERTIME_MS, () => this.#timeOut(child))
    else this.#alarms.clear(run)
    this.#parts.store.changed(run)
    void child.execute(executionOf(run, task, this.#parts.version))
  }

  #follow(child: TaskProcess): void {
    child.on('started', () => {
      const run = this.#running.get(child)
      if (run?.state !== 'DEQUEUED') return
      run.state = 'EXECUTING'
      run.startedAt ??= new Date()
      this.#parts.store.changed(run)
    })
    child.on('completed', (result) => {
      const run = this.#running.get(child)
      if (!run) return
      this.#running.delete(child)
      this.#parts.pool.give(child)
      void this.#settle(run, result)
    })
    child.on('maxDuration', () => this.#timeOut(child))
    child.on('uncaught', (error) => {
      this.#abandon(child, 'COMPLETED_WITH_ERRORS', {
        type: 'BUILT_IN_ERROR',
        name: error.name,
        message: error.message,
        stackTrace: error.stack ?? '',
      })
    })
    child.on('exit', ({ code, signal }) => this.#crash(child, errorOfExit(code, signal)))
    child.on('log', (line) => this.#print(child, line))
  }

  #timeOut(child: TaskProcess): void {
    this.#abandon(child, 'TIMED_OUT', { type: 'INTERNAL_ERROR', code: 'MAX_DURATION_EXCEEDED' })
  }

  /** Ends a run whose process cannot go on, and that process. */
  #abandon(child: TaskProcess, state: RunState, error: TaskRunError): void {
    const run = this.#running.get(child)
    this.#running.delete(child)
    this.#parts.pool.retire(child)
    void child.kill()
    if (run) this.#finish(run, state, error)
  }

  #crash(child: TaskProcess, error: TaskRunError): void {
    const run = this.#running.get(child)
    if (!run) return
    this.#running.delete(child)
    if (run.state !== 'DEQUEUED') return this.#finish(run, stateOfError(error), error)
    // The task's code had not begun, so another process may take the run.
    const lost = (this.#lostStarts.get(run) ?? 0) + 1
    this.#lostStarts.set(run, lost)
    if (lost > MAX_LOST_STARTS) {
      return this.#finish(run, 'SYSTEM_FAILURE', {
        type: 'INTERNAL_ERROR',
        code: 'TASK_RUN_DEQUEUED_MAX_RETRIES',
      })
    }
    run.attempt--
    this.#parts.queues.requeue(run)
    this.#dispatchSoon()
  }

  /** The process winds up; it is out of use before it hears of the cancel, so that no other run gets into it. */
  async #stopChild(child: TaskProcess, run: Run): Promise<void> {
    this.#running.delete(child)
    this.#parts.pool.retire(child)
    await child.cancel()
    run.completedAt = new Date()
    this.#parts.store.changed(run)
  }

  async #settle(run: Run, result: TaskRunExecutionResult): Promise<void> {
    run.usageMs += result.usage?.durationMs ?? 0
    if (result.flushedMetadata?.data) {
      await applyMetadata(run, packetJson(result.flushedMetadata) as Parameters<typeof applyMetadata>[1])
    }
    if (isFinal(run.state)) return
    if (result.ok) {
      run.output = { data: result.output, dataType: result.outputType }
      return this.#finish(run, 'COMPLETED_SUCCESSFULLY', undefined)
    }
    if (result.retry && run.attempt < run.maxAttempts) return this.#retry(run, result.retry.delay)
    this.#finish(run, stateOfError(result.error), result.error)
  }

  #retry(run: Run, delay: number): void {
    const { queues, store } = this.#parts
    run.state = 'RETRYING_AFTER_FAILURE'
    const keepsSlot = delay < KEEP_SLOT_MS
    if (!keepsSlot) queues.release(run)
    this.#alarms.set(run, delay, () => {
      if (keepsSlot) queues.requeue(run)
      else this.#lineUp(run)
      this.#dispatchSoon()
    })
    store.changed(run)
    this.#dispatchSoon()
  }

  #finish(run: Run, state: RunState, error: TaskRunError | undefined): void {
    run.state = state
    run.error = error
    run.completedAt = new Date()
    this.#alarms.clear(run)
    this.#parts.queues.release(run)
    this.#parts.store.changed(run)
    this.#dispatchSoon()
  }

  /** New task files may know what older ones did not. */
  #learn(manifest: Manifest): void {
    this.#tasks = new Map(manifest.tasks.map((task) => [task.id, task]))
    for (const { name, limit } of manifest.queues) this.#parts.queues.declare(name, limit)
    for (const run of this.#parts.store.all()) {
      if (run.state !== 'PENDING_VERSION') continue
      this.#lineUp(run)
      if (run.state !== 'PENDING_VERSION') this.#parts.store.changed(run)
    }
  }

  #print(child: TaskProcess, line: { runId: string; level: string; message: string }): void {
    const runId = line.runId || this.#running.get(child)?.id
    const level = line.level === 'error' || line.level === 'warn' ? line.level : 'info'
    this.#parts.log[level]({ runId, pid: child.pid }, line.message)
  }
}

const ttlText = (ttl: string | number): string => (typeof ttl === 'number' ? `${ttl}s` : ttl)
