import {
  apiClientManager,
  clock,
  heartbeats,
  inputStreams,
  lifecycleHooks,
  localsAPI,
  realtimeStreams,
  resourceCatalog,
  runMetadata,
  runTimelineMetrics,
  runtime,
  sessionStreams,
  type TaskRunContext,
  type TaskRunExecution,
  taskContext,
  timeout,
  traceContext,
  waitUntil,
} from '@trigger.dev/core/v3'
import {
  DevUsageManager,
  DurableClock,
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
  UsageTimeoutManager,
  usage,
} from '@trigger.dev/core/v3/workers'

type Ipc = ConstructorParameters<typeof SharedRuntimeManager>[0]

const HEARTBEAT_MS = 30_000
const METADATA_FLUSH_MS = 1000
/** Time that a stream which a task has piped may take after the task has returned. */
const WAIT_UNTIL_MS = 60_000

/** The data of the next run for the managers, without its payload. */
export interface Surroundings {
  execution: TaskRunExecution
  ctx: TaskRunContext
  traceContext: Record<string, unknown>
  worker: Parameters<typeof taskContext.setGlobalTaskContext>[0]['worker']
  isWarmStart: boolean
}

/**
 * Installs the managers behind core's globals. The caller does this before it loads a task file, because tasks
 * register with the resource catalog when they are defined.
 */
export function installManagers(ipc: Ipc, apiUrl: string) {
  const client = apiClientManager.clientOrThrow()
  const locals = new StandardLocalsManager()
  localsAPI.setGlobalLocalsManager(locals)
  const hooks = new StandardLifecycleHooksManager()
  lifecycleHooks.setGlobalLifecycleHooksManager(hooks)
  const timeline = new StandardRunTimelineMetricsManager()
  runTimelineMetrics.setGlobalManager(timeline)
  const usages = new DevUsageManager()
  usage.setGlobalUsageManager(usages)
  const timeouts = new UsageTimeoutManager(usages)
  // These two of core's classes do not fit their own interfaces under exactOptionalPropertyTypes.
  timeout.setGlobalManager(timeouts as Parameters<typeof timeout.setGlobalManager>[0])
  const traces = new StandardTraceContextManager()
  traceContext.setGlobalManager(traces as Parameters<typeof traceContext.setGlobalManager>[0])
  resourceCatalog.setGlobalResourceCatalog(new StandardResourceCatalog())
  const clocks = new DurableClock()
  clock.setGlobalClock(clocks)
  const metadata = new StandardMetadataManager(client)
  runMetadata.setGlobalManager(metadata)
  const streams = new StandardRealtimeStreamsManager(client, apiUrl)
  realtimeStreams.setGlobalManager(streams)
  const inputs = new StandardInputStreamManager(client, apiUrl)
  inputStreams.setGlobalManager(inputs)
  const sessions = new StandardSessionStreamManager(client, apiUrl)
  sessionStreams.setGlobalManager(sessions)
  const untils = new StandardWaitUntilManager(WAIT_UNTIL_MS)
  waitUntil.setGlobalManager(untils)
  const beats = new StandardHeartbeatsManager(HEARTBEAT_MS)
  heartbeats.setGlobalManager(beats)
  const waits = new SharedRuntimeManager(ipc, false)
  runtime.setGlobalRuntimeManager(waits)
  const all = [locals, hooks, timeline, usages, timeouts, traces, clocks, metadata, streams, inputs]

  return {
    metadata,
    waits,
    timeouts,

    /** Prepares the managers for the next run, and drops the state of the run before. */
    begin({ execution, ctx, traceContext: trace, worker, isWarmStart }: Surroundings): void {
      for (const manager of [...all, sessions, untils, waits, beats]) manager.reset()
      taskContext.disable()
      // The run waits for the streams that it has piped. Without this wait its last chunks would be lost.
      waitUntil.register({
        requiresResolving: () => streams.hasActiveStreams(),
        promise: (timeoutInMs) => streams.waitForAllStreams(timeoutInMs),
      })
      inputs.setRunId(execution.run.id, execution.run.realtimeStreamsVersion)
      traces.traceContext = trace
      taskContext.setGlobalTaskContext({ ctx, worker, isWarmStart })
      metadata.runId = execution.run.id
      metadata.runIdIsRoot = execution.run.rootTaskRunId === undefined
      metadata.startPeriodicFlush(METADATA_FLUSH_MS)
    },
  }
}
