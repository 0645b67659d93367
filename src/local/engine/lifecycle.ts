import type {
  TaskRunError,
  TaskRunExecutionResult,
  TaskRunExecutionRetry,
} from '@trigger.dev/core/v3/schemas'
import { Alarms } from './alarms.ts'
import { Dispatcher } from './dispatcher.ts'
import { durationMs } from './durations.ts'
import type { Keys } from './keys.ts'
import type { EngineLog } from './log.ts'
import type { Manifest, TaskManifest } from './messages.ts'
import { applyMetadata, type MetadataChange } from './metadata.ts'
import { newRun, type RunOrder } from './new-run.ts'
import { stateOfError } from './outcomes.ts'
import type { Pool } from './pool.ts'
import { Queues } from './queues.ts'
import { type NextTry, nextTry } from './retries.ts'
import { isFinal, type Run, type RunState } from './run.ts'
import type { RunStore } from './store.ts'
import { packetJson } from './values.ts'

export interface LifecycleParts {
  store: RunStore
  keys: Keys
  pool: Pool
  log: EngineLog
  newId: (prefix: string) => string
  version: string
}

/** Moves runs from state to state: the only place where the state of a run changes. */
export class Lifecycle {
  readonly #store: RunStore
  readonly #keys: Keys
  readonly #newId: LifecycleParts['newId']
  readonly #log: EngineLog
  readonly #queues = new Queues()
  readonly #tasks = new Map<string, TaskManifest>()
  readonly #alarms = new Alarms<Run>()
  readonly #dispatcher: Dispatcher
  #seq = 0

  constructor({ store, keys, pool, log, newId, version }: LifecycleParts) {
    this.#store = store
    this.#keys = keys
    this.#newId = newId
    this.#log = log
    this.#dispatcher = new Dispatcher({ queues: this.#queues, pool, tasks: this.#tasks, version, log })
    this.#dispatcher.on('dequeued', (run) => this.#dequeued(run))
    this.#dispatcher.on('started', (run) => this.#started(run))
    this.#dispatcher.on('completed', (run, result) => void this.#settle(run, result))
    this.#dispatcher.on('failed', (run, error) => this.#fail(run, error, undefined))
    pool.on('manifest', (manifest) => this.#learn(manifest))
  }

  stop(): void {
    this.#alarms.clearAll()
  }

  /** Creates a run and enqueues it. The run starts after the caller has been answered. */
  trigger(order: RunOrder): Run {
    const run = newRun(this.#newId('run'), ++this.#seq, order, this.#tasks.get(order.taskId))
    order.parent?.children.push(run)
    this.#keys.remember(run)
    if (order.delayUntil) this.#delay(run, order.delayUntil)
    else this.#lineUp(run)
    this.#store.add(run)
    return run
  }

  /** Moves the start of a delayed run. @returns false when the run is not delayed, or no longer delayed */
  reschedule(run: Run, until: Date): boolean {
    if (run.state !== 'DELAYED') return false
    this.#delay(run, until)
    this.#store.changed(run)
    return true
  }

  /**
   * Cancels a run. A run that is final stays as it is. The state changes and the slot is free at once. The child of a
   * run that had started finishes the hooks and last writes of the run, and only then the run has its time of
   * completion.
   */
  cancel(run: Run): void {
    if (isFinal(run.state)) return
    const error: TaskRunError = { type: 'STRING_ERROR', raw: 'Canceled by user' }
    const woundUp = this.#dispatcher.cancel(run)
    this.#leave(run, 'CANCELED', error)
    if (!woundUp) run.completedAt = new Date()
    this.#store.changed(run)
    void woundUp?.then(() => {
      run.completedAt = new Date()
      this.#store.changed(run)
    })
  }

  #delay(run: Run, until: Date): void {
    run.delayUntil = until
    // A timer may fire a millisecond before its time.
    this.#alarms.set(run, until.getTime() - Date.now() + 1, () => {
      this.#lineUp(run)
      this.#store.changed(run)
    })
  }

  /** Enqueues a run. When no task file defines its task or its queue, the run waits for a version that does. */
  #lineUp(run: Run): void {
    run.queuedAt ??= new Date()
    if (!this.#tasks.has(run.taskId) || !this.#queues.isDeclared(run.queue)) {
      run.state = 'PENDING_VERSION'
      return
    }
    run.state = 'PENDING'
    this.#queues.enqueue(run)
    const ttl = run.attempt === 0 && run.ttl ? durationMs(run.ttl) : undefined
    if (ttl !== undefined) this.#alarms.set(run, ttl, () => this.#expire(run))
    this.#dispatcher.dispatchSoon()
  }

  #expire(run: Run): void {
    run.expiredAt = new Date()
    const raw = `Run expired because the TTL (${run.ttl}) was reached`
    this.#finish(run, 'EXPIRED', { type: 'STRING_ERROR', raw })
  }

  #dequeued(run: Run): void {
    this.#alarms.clear(run)
    run.state = 'DEQUEUED'
    // A real server sets the time here too, so the time until the task's code begins belongs to the run.
    run.startedAt ??= new Date()
    run.attempt++
    this.#store.changed(run)
  }

  #started(run: Run): void {
    run.state = 'EXECUTING'
    this.#store.changed(run)
  }

  async #settle(run: Run, result: TaskRunExecutionResult): Promise<void> {
    run.usageMs += result.usage?.durationMs ?? 0
    if (result.flushedMetadata?.data) {
      const change = packetJson(result.flushedMetadata) as MetadataChange
      await applyMetadata(run, change, this.#store).catch((error: unknown) =>
        this.#log.error({ runId: run.id, err: error }, 'the last metadata of a run could not be applied'),
      )
    }
    // A caller has cancelled the run meanwhile.
    if (isFinal(run.state)) return
    if (result.ok) {
      run.output = { data: result.output, dataType: result.outputType }
      this.#finish(run, 'COMPLETED_SUCCESSFULLY', undefined)
    } else this.#fail(run, result.error, result.retry)
  }

  #fail(run: Run, error: TaskRunError, asked: TaskRunExecutionRetry | undefined): void {
    const again = nextTry(run, error, asked, this.#tasks.get(run.taskId)?.retry)
    if (again) this.#retry(run, again)
    else this.#finish(run, stateOfError(error), error)
  }

  #retry(run: Run, { delayMs, keepsSlot }: NextTry): void {
    run.state = 'RETRYING_AFTER_FAILURE'
    if (!keepsSlot) this.#queues.release(run)
    this.#alarms.set(run, delayMs, () => {
      if (keepsSlot) this.#queues.requeue(run)
      else this.#lineUp(run)
      this.#dispatcher.dispatchSoon()
    })
    this.#store.changed(run)
    this.#dispatcher.dispatchSoon()
  }

  #finish(run: Run, state: RunState, error: TaskRunError | undefined): void {
    this.#leave(run, state, error)
    run.completedAt = new Date()
    this.#store.changed(run)
  }

  /** Moves a run into a final state, and gives its slot to the next run of its lane. */
  #leave(run: Run, state: RunState, error: TaskRunError | undefined): void {
    run.state = state
    run.error = error
    this.#alarms.clear(run)
    this.#queues.release(run)
    this.#dispatcher.dispatchSoon()
  }

  /** Enqueues the runs that waited for a version of the task files which defines their task and queue. */
  #learn(manifest: Manifest): void {
    this.#tasks.clear()
    for (const task of manifest.tasks) this.#tasks.set(task.id, task)
    for (const { name, limit } of manifest.queues) this.#queues.declare(name, limit)
    for (const run of this.#store.all()) {
      if (run.state !== 'PENDING_VERSION') continue
      this.#lineUp(run)
      if (run.state !== 'PENDING_VERSION') this.#store.changed(run)
    }
  }
}
