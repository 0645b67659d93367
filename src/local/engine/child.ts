/**
 * The process that runs tasks, one run at a time, by core's TaskExecutor. It is set up as Trigger.dev's own worker
 * sets itself up: managers first, then the task files (its arguments), then the conversation with the parent.
 */
import { flushCompileCache } from 'node:module'
import { pathToFileURL } from 'node:url'
import {
  lifecycleHooks,
  logger,
  resourceCatalog,
  TaskRunContext,
  type TaskRunError,
  type TaskRunExecution,
  type TaskRunExecutionResult,
  timeout,
} from '@trigger.dev/core/v3'
import { TriggerTracer } from '@trigger.dev/core/v3/tracer'
import {
  ConsoleInterceptor,
  NO_FILE_CONTEXT,
  OtelTaskLogger,
  TaskExecutor,
  usage,
} from '@trigger.dev/core/v3/workers'
import { ZodIpcConnection } from '@trigger.dev/core/v3/zodIpc'
import type { z } from 'zod/v4'
import { RunLog } from './child-log.ts'
import { Leftovers } from './leftovers.ts'
import { describeLoadFault } from './load-fault.ts'
import { installManagers } from './managers.ts'
import { readManifest } from './manifest.ts'
import { fromChild, toChild } from './messages.ts'

type Order = z.infer<typeof toChild.EXECUTE_TASK_RUN.message>
type InternalCode = 'COULD_NOT_FIND_EXECUTOR' | 'CONFIGURED_INCORRECTLY'

/** Time that a cancelled task has for its last writes after its onCancel hooks have returned. */
const WIND_UP_MS = 500
const MAX_LOG_ATTRIBUTES = 256

// The parent has ended. No process would receive the result of the run or end the programs of its task.
process.on('disconnect', endGroup)

const ipc = new ZodIpcConnection({
  listenSchema: toChild,
  emitSchema: fromChild,
  process,
  handlers: {
    EXECUTE_TASK_RUN: execute,
    CANCEL: cancel,
    RESOLVE_WAITPOINT: async ({ waitpoint }) => managers.waits.resolveWaitpoints([waitpoint]),
  },
})

process.on('uncaughtException', (error, origin) => {
  const { name, message, stack } = error instanceof Error ? error : new Error(String(error))
  void ipc.send('UNCAUGHT_EXCEPTION', { error: { name, message, ...(stack && { stack }) }, origin })
})

const managers = installManagers(ipc, process.env.TRIGGER_API_URL ?? '')
managers.timeouts.registerListener((maxDurationInSeconds, elapsedTimeInSeconds) =>
  ipc.send('MAX_DURATION_EXCEEDED', { maxDurationInSeconds, elapsedTimeInSeconds }),
)
const tracer = new TriggerTracer({ name: 'local-engine', version: '1' })
const log = new RunLog((runId, level, message) => void ipc.send('LOG', { runId, level, message }))
logger.setGlobalTaskLogger(
  new OtelTaskLogger({ logger: log, tracer, level: 'debug', maxAttributeCount: MAX_LOG_ATTRIBUTES }),
)
const consoleInterceptor = new ConsoleInterceptor(log, false, false, MAX_LOG_ATTRIBUTES)

let executionCount = 0
let isCancelled = false
let cancelController = new AbortController()
let running: Promise<TaskRunExecutionResult> | undefined
let leftovers: Leftovers | undefined

// These variables are for this process, not for the tasks and the programs that tasks start.
delete process.env.NODE_COMPILE_CACHE
await load(process.argv.slice(2))

async function load(files: string[]): Promise<void> {
  try {
    for (const file of files) {
      // Core registers a task only while a current file is set, and says nothing otherwise.
      resourceCatalog.setCurrentFileContext(file, file)
      await import(pathToFileURL(file).href)
      resourceCatalog.clearCurrentFileContext()
    }
    leftovers = new Leftovers()
    await ipc.send('READY', { manifest: readManifest() })
    // Node writes its compile cache at a normal exit only, and children end by signals.
    flushCompileCache()
  } catch (error) {
    await ipc.send('LOAD_FAILED', { error: describeLoadFault(error) })
    // The channel closes after the message has been sent.
    process
      .off('disconnect', endGroup)
      .once('disconnect', () => process.exit(1))
      .disconnect()
  }
}

async function execute({
  execution,
  traceContext,
  metadata: worker,
  isWarmStart = false,
}: Order): Promise<void> {
  isCancelled = false
  cancelController = new AbortController()
  running = undefined
  log.begin()
  const ctx = TaskRunContext.parse(execution)
  managers.begin({ execution, ctx, traceContext, worker, isWarmStart })
  const measurement = usage.start()
  const timedOut = timeout.abortAfterTimeout(execution.run.maxDuration).signal
  await ipc.send('RUN_STARTED', { runId: execution.run.id })
  if (isCancelled) return

  running = runTask(execution, ctx, AbortSignal.any([cancelController.signal, timedOut]), isWarmStart)
  const result = await running
  if (isCancelled) return
  const { cpuTime: durationMs } = usage.stop(measurement)
  // Without this the manager goes on measuring, once a second, in a child that waits for its next run.
  managers.timeouts.reset()
  const flushedMetadata = await managers.metadata.stopAndReturnLastFlush()
  await ipc.send('TASK_RUN_COMPLETED', {
    execution,
    result: { ...result, usage: { durationMs }, flushedMetadata },
  })
  const broken = result.ok || isIntended(result.error) ? [] : ['an error that the task did not mean to throw']
  await ipc.send('RESTED', { leftovers: [...broken, ...((await leftovers?.afterRun()) ?? [])] })
}

/** Whether a task aborted its run on purpose. After any other error the process may be damaged. */
const isIntended = (error: TaskRunError): boolean =>
  error.type === 'BUILT_IN_ERROR' && error.name === 'AbortTaskRunError'

async function runTask(
  execution: TaskRunExecution,
  ctx: TaskRunContext,
  signal: AbortSignal,
  isWarmStart: boolean,
): Promise<TaskRunExecutionResult> {
  const task = resourceCatalog.getTask(execution.task.id)
  if (!task) return internalError(execution, 'COULD_NOT_FIND_EXECUTOR', `No task ${execution.task.id}`)
  executionCount++
  const options = { tracer, consoleInterceptor, retries: undefined, isWarmStart, executionCount }
  // With a current file set, core lets a task register that is defined while another task runs.
  resourceCatalog.setCurrentFileContext(NO_FILE_CONTEXT, NO_FILE_CONTEXT)
  try {
    // The executor wants a tracing SDK but does not use it. Without an exporter none is made.
    const executor = new TaskExecutor(
      task,
      options as unknown as ConstructorParameters<typeof TaskExecutor>[1],
    )
    const { result } = await executor.execute(execution, ctx, signal)
    return result
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    return internalError(execution, 'CONFIGURED_INCORRECTLY', reason)
  } finally {
    resourceCatalog.clearCurrentFileContext()
  }
}

function internalError(
  execution: TaskRunExecution,
  code: InternalCode,
  message: string,
): TaskRunExecutionResult {
  return { ok: false, id: execution.run.id, error: { type: 'INTERNAL_ERROR', code, message } }
}

/** Aborts the run, waits for its onCancel hooks and its last writes, then tells the parent, which kills this process. */
async function cancel({ timeoutInMs }: { timeoutInMs: number }): Promise<void> {
  isCancelled = true
  await ipc.send('CANCELLING', {})
  cancelController.abort('run cancelled')
  await Promise.race([lifecycleHooks.callOnCancelHookListeners().catch(() => undefined), after(timeoutInMs)])
  await Promise.race([running, after(WIND_UP_MS)])
  await Promise.race([managers.metadata.flush().catch(() => undefined), after(WIND_UP_MS)])
  await ipc.send('WOUND_UP', {})
}

function endGroup(): void {
  process.kill(-process.pid, 'SIGKILL')
}

function after(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}
