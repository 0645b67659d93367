/**
 * The process that runs tasks, one run at a time: core's TaskExecutor and the managers that it expects to find
 * installed, in the order in which Trigger.dev's own worker installs them. The task files are the arguments.
 */
import { pathToFileURL } from 'node:url'
import {
  apiClientManager,
  attemptKey,
  clock,
  heartbeats,
  inputStreams,
  lifecycleHooks,
  localsAPI,
  logger,
  realtimeStreams,
  resourceCatalog,
  runMetadata,
  runTimelineMetrics,
  runtime,
  sessionStreams,
  TaskRunContext,
  type TaskRunExecution,
  type TaskRunExecutionResult,
  taskContext,
  timeout,
  traceContext,
  waitUntil,
} from '@trigger.dev/core/v3'
import { TriggerTracer } from '@trigger.dev/core/v3/tracer'
import {
  ConsoleInterceptor,
  DevUsageManager,
  DurableClock,
  NO_FILE_CONTEXT,
  OtelTaskLogger,
  SharedRuntimeManager,
  StandardHeartbeatsManager,
  StandardInputStreamManager,
  StandardLifecycleHooksManager,
  StandardLocalsManager,
  StandardMetadataManager,
  StandardRealtimeStreamsManager,
  StandardResourceCatalog,
  StandardRunTimelineMetricsManager,
  StandardSessionStreamManager,
  StandardTraceContextManager,
  StandardWaitUntilManager,
  TaskExecutor,
  UsageTimeoutManager,
  usage,
} from '@trigger.dev/core/v3/workers'
import { ZodIpcConnection } from '@trigger.dev/core/v3/zodIpc'
import type { z } from 'zod/v4'
import { runLog } from './child-log.ts'
import { readManifest } from './manifest.ts'
import { fromChild, toChild } from './messages.ts'

const apiUrl = process.env.TRIGGER_API_URL ?? ''
/** A cancelled task may use this long to wind up, after its onCancel hooks have returned. */
const WIND_UP_MS = 500
const METADATA_FLUSH_MS = 1000
const WAIT_UNTIL_MS = 60_000

// The parent is gone: nobody would hear the result, and nobody would end this process.
process.on('disconnect', () => process.exit(0))

const ipc = new ZodIpcConnection({
  listenSchema: toChild,
  emitSchema: fromChild,
  process,
  handlers: {
    EXECUTE_TASK_RUN: execute,
    CANCEL: cancel,
    FLUSH: async () => metadata.flush(),
    RESOLVE_WAITPOINT: async ({ waitpoint }) => waits.resolveWaitpoints([waitpoint]),
  },
})

process.on('uncaughtException', (error, origin) => {
  const { name, message, stack } = error instanceof Error ? error : new Error(String(error))
  void ipc.send('UNCAUGHT_EXCEPTION', { error: { name, message, ...(stack && { stack }) }, origin })
})

const locals = new StandardLocalsManager()
localsAPI.setGlobalLocalsManager(locals)
const hooks = new StandardLifecycleHooksManager()
lifecycleHooks.setGlobalLifecycleHooksManager(hooks)
const timeline = new StandardRunTimelineMetricsManager()
runTimelineMetrics.setGlobalManager(timeline)
const usages = new DevUsageManager()
usage.setGlobalUsageManager(usages)
const timeouts = new UsageTimeoutManager(usages)
// (`as`: these two of core's classes do not fit their own interfaces under exactOptionalPropertyTypes.)
timeout.setGlobalManager(timeouts as Parameters<typeof timeout.setGlobalManager>[0])
timeout.registerListener((maxDurationInSeconds, elapsedTimeInSeconds) =>
  ipc.send('MAX_DURATION_EXCEEDED', { maxDurationInSeconds, elapsedTimeInSeconds }),
)
const catalog = new StandardResourceCatalog()
resourceCatalog.setGlobalResourceCatalog(catalog)
const traces = new StandardTraceContextManager()
traceContext.setGlobalManager(traces as Parameters<typeof traceContext.setGlobalManager>[0])
const clocks = new DurableClock()
clock.setGlobalClock(clocks)
const metadata = new StandardMetadataManager(apiClientManager.clientOrThrow())
runMetadata.setGlobalManager(metadata)
const streams = new StandardRealtimeStreamsManager(apiClientManager.clientOrThrow(), apiUrl)
realtimeStreams.setGlobalManager(streams)
const inputs = new StandardInputStreamManager(apiClientManager.clientOrThrow(), apiUrl)
inputStreams.setGlobalManager(inputs)
const sessions = new StandardSessionStreamManager(apiClientManager.clientOrThrow(), apiUrl)
sessionStreams.setGlobalManager(sessions)
const untils = new StandardWaitUntilManager(WAIT_UNTIL_MS)
waitUntil.setGlobalManager(untils)
const beats = new StandardHeartbeatsManager(30_000)
heartbeats.setGlobalManager(beats)
const waits = new SharedRuntimeManager(ipc, false)
runtime.setGlobalRuntimeManager(waits)

const tracer = new TriggerTracer({ name: 'local-engine', version: '1' })
const log = runLog((runId, level, message) => void ipc.send('LOG', { runId, level, message }))
logger.setGlobalTaskLogger(
  new OtelTaskLogger({ logger: log, tracer, level: 'debug', maxAttributeCount: 256 }),
)
const consoleInterceptor = new ConsoleInterceptor(log, false, false, 256)

let executions = 0
let cancelled = false
let cancelController = new AbortController()
let execution: Promise<TaskRunExecutionResult> | undefined

async function execute({
  execution: order,
  traceContext: trace,
  metadata: worker,
  isWarmStart = false,
}: Order) {
  reset()
  inputs.setRunId(order.run.id, order.run.realtimeStreamsVersion)
  traces.traceContext = trace
  const ctx = TaskRunContext.parse(order)
  taskContext.setGlobalTaskContext({ ctx, worker, isWarmStart })
  metadata.runId = order.run.id
  metadata.runIdIsRoot = order.run.rootTaskRunId === undefined
  metadata.startPeriodicFlush(METADATA_FLUSH_MS)
  beats.startHeartbeat(attemptKey(order))
  const measurement = usage.start()
  const signal = AbortSignal.any([
    cancelController.signal,
    timeout.abortAfterTimeout(order.run.maxDuration).signal,
  ])
  await ipc.send('RUN_STARTED', { runId: order.run.id })

  resourceCatalog.setCurrentFileContext(NO_FILE_CONTEXT, NO_FILE_CONTEXT)
  execution = runTask(order, ctx, signal, isWarmStart)
  const result = await execution
  resourceCatalog.clearCurrentFileContext()
  beats.stopHeartbeat()
  if (cancelled) return
  await ipc.send('TASK_RUN_COMPLETED', {
    execution: order,
    result: {
      ...result,
      usage: { durationMs: usage.stop(measurement).cpuTime },
      flushedMetadata: await metadata.stopAndReturnLastFlush(),
    },
  })
}

async function runTask(
  order: TaskRunExecution,
  ctx: TaskRunContext,
  signal: AbortSignal,
  isWarmStart: boolean,
): Promise<TaskRunExecutionResult> {
  const task = resourceCatalog.getTask(order.task.id)
  if (!task) return internalError(order, 'COULD_NOT_FIND_EXECUTOR', `Could not find task ${order.task.id}`)
  executions++
  const options = { tracer, consoleInterceptor, retries: undefined, isWarmStart, executionCount: executions }
  try {
    // The executor keeps the tracing SDK without using it; without an exporter there is none.
    const executor = new TaskExecutor(
      task,
      options as unknown as ConstructorParameters<typeof TaskExecutor>[1],
    )
    const { result } = await executor.execute(order, ctx, signal)
    return result
  } catch (error) {
    return internalError(
      order,
      'CONFIGURED_INCORRECTLY',
      error instanceof Error ? error.message : String(error),
    )
  }
}

function internalError(
  order: TaskRunExecution,
  code: 'COULD_NOT_FIND_EXECUTOR' | 'CONFIGURED_INCORRECTLY',
  message: string,
): TaskRunExecutionResult {
  return { ok: false, id: order.run.id, error: { type: 'INTERNAL_ERROR', code, message } }
}

/** Aborts the run, lets its onCancel hooks and its last writes finish, then acknowledges: the parent ends us. */
async function cancel({ timeoutInMs }: { timeoutInMs: number }): Promise<void> {
  cancelled = true
  await ipc.send('CANCELLING', {})
  cancelController.abort('run cancelled')
  await Promise.race([lifecycleHooks.callOnCancelHookListeners().catch(() => undefined), after(timeoutInMs)])
  await Promise.race([execution, after(WIND_UP_MS)])
  await Promise.race([metadata.flush().catch(() => undefined), after(WIND_UP_MS)])
}

function reset(): void {
  cancelled = false
  cancelController = new AbortController()
  locals.reset()
  hooks.reset()
  timeline.reset()
  usages.reset()
  timeouts.reset()
  metadata.reset()
  streams.reset()
  inputs.reset()
  sessions.reset()
  untils.reset()
  waits.reset()
  clocks.reset()
  taskContext.disable()
  traces.reset()
  beats.reset()
  // A run is over when what it piped has arrived; without this its last chunks are lost.
  waitUntil.register({
    requiresResolving: () => streams.hasActiveStreams(),
    promise: (timeoutInMs) => streams.waitForAllStreams(timeoutInMs),
  })
}

const after = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

type Order = z.infer<typeof toChild.EXECUTE_TASK_RUN.message>

async function load(files: string[]): Promise<void> {
  try {
    for (const file of files) {
      resourceCatalog.setCurrentFileContext(file, file)
      await import(pathToFileURL(file).href)
      resourceCatalog.clearCurrentFileContext()
    }
    await ipc.send('READY', { manifest: readManifest() })
  } catch (error) {
    await ipc.send('LOAD_FAILED', {
      error: error instanceof Error ? (error.stack ?? error.message) : String(error),
    })
    process.disconnect()
  }
}

await load(process.argv.slice(2))
