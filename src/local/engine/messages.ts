import {
  ExecutorToWorkerMessageCatalog,
  RetryOptions,
  WorkerToExecutorMessageCatalog,
} from '@trigger.dev/core/v3/schemas'
import { z } from 'zod/v4'

const Manifest = z.object({
  tasks: z.array(
    z.object({
      id: z.string(),
      filePath: z.string(),
      queue: z.string(),
      ttl: z.union([z.string(), z.number()]).optional(),
      maxDuration: z.number().optional(),
      retry: RetryOptions.optional(),
    }),
  ),
  queues: z.array(z.object({ name: z.string(), limit: z.number().optional() })),
})

/** What the task files define: the tasks, and the queues that runs may name. */
export type Manifest = z.infer<typeof Manifest>
export type TaskManifest = Manifest['tasks'][number]

/** From the engine to a child: core's messages; a cancel is answered by messages of its own, see below. */
export const toChild = {
  ...WorkerToExecutorMessageCatalog,
  CANCEL: { message: WorkerToExecutorMessageCatalog.CANCEL.message },
}

/** From a child to the engine: core's messages, and what the command line of Trigger.dev learns in other ways. */
export const fromChild = {
  ...ExecutorToWorkerMessageCatalog,
  /** The task files are loaded; the child can take a run. */
  READY: { message: z.object({ manifest: Manifest }) },
  /** A task file could not be loaded; the child ends. */
  LOAD_FAILED: { message: z.object({ error: z.string() }) },
  /** The task's code is about to run. */
  RUN_STARTED: { message: z.object({ runId: z.string() }) },
  /** The process is at rest after a run that it has told the result of; what the run has left behind in it. */
  RESTED: { message: z.object({ leftovers: z.array(z.string()) }) },
  /** The cancel has been heard, so the event loop is alive; hooks and last writes follow. */
  CANCELLING: { message: z.object({}) },
  /** Nothing more will come of the cancelled run. */
  WOUND_UP: { message: z.object({}) },
  /** One line that a task wrote to its console or logger. */
  LOG: { message: z.object({ runId: z.string(), level: z.string(), message: z.string() }) },
}
