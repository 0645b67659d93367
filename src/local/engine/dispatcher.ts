import { EventEmitter } from 'node:events'
import type { TaskRunError, TaskRunExecutionResult } from '@trigger.dev/core/v3/schemas'
import { Alarms } from './alarms.ts'
import type { TaskProcess } from './child-process.ts'
import { executionOf } from './executions.ts'
import type { EngineLog } from './log.ts'
import type { TaskManifest } from './messages.ts'
import { errorOfExit } from './outcomes.ts'
import type { Pool } from './pool.ts'
import type { Queues } from './queues.ts'
import type { Run } from './run.ts'

export interface DispatcherParts {
  queues: Queues
  pool: Pool
  /** The tasks of the task files, by id. */
  tasks: Map<string, TaskManifest>
  version: string
  log: EngineLog
}

export interface DispatcherEvents {
  /** A child is about to receive the run. */
  dequeued: [Run]
  /** The task's code is about to run. */
  started: [Run]
  completed: [Run, TaskRunExecutionResult]
  /** The run ended without a result, because its child could not go on. */
  failed: [Run, TaskRunError]
}

/** Children end a run at its maximal duration. The engine ends a run that has exceeded it by so much. */
const OVERTIME_MS = 10_000
/** A child that has not reported its leftovers within this time after a run is replaced. */
const REST_MS = 5_000
/** How often a run is given to another child when its child dies before the task's code begins. */
const MAX_LOST_STARTS = 5

const SHOWN_LEFTOVERS = 20
const TOO_LARGE = 'the worker process took more memory than it may have'

/** Gives runs that have a slot to children that are free, and emits what happens to the runs. */
export class Dispatcher extends EventEmitter<DispatcherEvents> {
  readonly #parts: DispatcherParts
  readonly #running = new Map<TaskProcess, Run>()
  readonly #overtime = new Alarms<TaskProcess>()
  readonly #resting = new Alarms<TaskProcess>()
  readonly #lostStarts = new WeakMap<Run, number>()
  #scheduled = false

  constructor(parts: DispatcherParts) {
    super()
    this.#parts = parts
    parts.pool.on('ready', () => this.dispatchSoon())
    parts.pool.on('broken', () => this.dispatchSoon())
    parts.pool.on('child', (child) => this.#follow(child))
  }

  /** Dispatches once the current request has been answered. */
  dispatchSoon(): void {
    if (this.#scheduled) return
    this.#scheduled = true
    setImmediate(() => {
      this.#scheduled = false
      this.#dispatch()
    })
  }

  /**
   * Cancels a run in its child, which is then replaced. The child is out of use before the cancel reaches it, so that
   * it receives no other run.
   *
   * @returns undefined when no child has the run
   */
  cancel(run: Run): Promise<void> | undefined {
    const child = [...this.#running].find(([, other]) => other === run)?.[0]
    if (!child) return undefined
    this.#take(child)
    this.#parts.pool.retire(child)
    return child.cancel()
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
    if (pool.fault !== undefined) this.#refuse(pool.fault)
    pool.want(queues.ready)
  }

  /** Fails the runs that wait while no child can be started, so that the developer learns of it before the runs expire. */
  #refuse(fault: string): void {
    const { queues, log } = this.#parts
    for (let run = queues.next(); run; run = queues.next()) {
      const message = `the task files cannot be loaded: ${fault}`
      log.error({ runId: run.id }, `the local engine fails a run at once: ${message}`)
      this.emit('failed', run, { type: 'INTERNAL_ERROR', code: 'CONFIGURED_INCORRECTLY', message })
    }
  }

  #start(run: Run, child: TaskProcess): void {
    const task = this.#parts.tasks.get(run.taskId)
    if (!task) {
      this.#parts.pool.give(child)
      this.emit('failed', run, { type: 'INTERNAL_ERROR', code: 'COULD_NOT_FIND_TASK' })
      return
    }
    this.#running.set(child, run)
    this.emit('dequeued', run)
    if (run.maxDuration) {
      this.#overtime.set(child, run.maxDuration * 1000 + OVERTIME_MS, () => this.#timeOut(child))
    }
    child.execute(executionOf(run, task, this.#parts.version)).catch((error: unknown) => {
      // Core's schema has refused the message. It would refuse the message to another child as well.
      this.#parts.log.error({ runId: run.id, err: error }, 'a run could not be handed to its worker process')
      this.#abandon(child, { type: 'INTERNAL_ERROR', code: 'TASK_EXECUTION_FAILED' })
    })
  }

  #follow(child: TaskProcess): void {
    child.on('started', () => {
      const run = this.#running.get(child)
      if (run) this.emit('started', run)
    })
    child.on('completed', (result) => {
      const run = this.#take(child)
      if (!run) return
      this.#resting.set(child, REST_MS, () => this.#retire(child, run.id, ['an event loop that is blocked']))
      child.once('rested', (leftovers) => {
        this.#resting.clear(child)
        if (leftovers.length === 0) this.#parts.pool.give(child)
        else this.#retire(child, run.id, leftovers)
      })
      this.emit('completed', run, result)
    })
    child.on('maxDuration', () => this.#timeOut(child))
    child.on('tooLarge', () => this.#outgrow(child))
    child.on('uncaught', ({ message, stack: stackTrace }) =>
      this.#abandon(child, {
        type: 'INTERNAL_ERROR',
        code: 'TASK_RUN_UNCAUGHT_EXCEPTION',
        message,
        stackTrace,
      }),
    )
    child.on('exit', ({ code, signal }) => this.#lose(child, errorOfExit(code, signal)))
    child.on('log', (line) => this.#print(child, line))
  }

  /** Removes the run of a child from the register of running runs. */
  #take(child: TaskProcess): Run | undefined {
    const run = this.#running.get(child)
    this.#running.delete(child)
    this.#overtime.clear(child)
    return run
  }

  /** Ends a run as a real server does when the process exceeds the memory of its machine. */
  #outgrow(child: TaskProcess): void {
    const runId = this.#running.get(child)?.id
    this.#parts.log.warn({ runId, pid: child.pid }, `the local engine ends a run: ${TOO_LARGE}`)
    this.#abandon(child, { type: 'INTERNAL_ERROR', code: 'TASK_PROCESS_OOM_KILLED', message: TOO_LARGE })
  }

  #timeOut(child: TaskProcess): void {
    this.#abandon(child, { type: 'INTERNAL_ERROR', code: 'MAX_DURATION_EXCEEDED' })
  }

  /** Ends a child that a finished run has changed, so that the change cannot reach the next run. */
  #retire(child: TaskProcess, runId: string, leftovers: string[]): void {
    const [shown, more] = [leftovers.slice(0, SHOWN_LEFTOVERS), leftovers.length - SHOWN_LEFTOVERS]
    this.#parts.log.info(
      { runId, pid: child.pid, leftovers: more > 0 ? [...shown, `and ${more} more`] : shown },
      'the local engine replaces a worker process, because a run has changed the state of the process',
    )
    this.#parts.pool.retire(child)
    void child.end()
  }

  /** Ends a child that cannot go on, and its run. */
  #abandon(child: TaskProcess, error: TaskRunError): void {
    const run = this.#take(child)
    this.#parts.pool.retire(child)
    void child.kill()
    if (run) this.emit('failed', run, error)
  }

  /** A child has exited. Another child may take its run when the task's code had not begun. */
  #lose(child: TaskProcess, error: TaskRunError): void {
    this.#resting.clear(child)
    const run = this.#take(child)
    if (!run) return
    const losses = (this.#lostStarts.get(run) ?? 0) + 1
    if (run.state !== 'DEQUEUED') this.emit('failed', run, error)
    else if (losses > MAX_LOST_STARTS) {
      this.emit('failed', run, { type: 'INTERNAL_ERROR', code: 'TASK_RUN_DEQUEUED_MAX_RETRIES' })
    } else {
      this.#lostStarts.set(run, losses)
      run.attempt--
      this.#parts.queues.requeue(run)
      this.dispatchSoon()
    }
  }

  #print(child: TaskProcess, line: { runId: string; level: string; message: string }): void {
    const runId = line.runId || this.#running.get(child)?.id
    const level = line.level === 'error' || line.level === 'warn' ? line.level : 'info'
    this.#parts.log[level]({ runId, pid: child.pid }, line.message)
  }
}
