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

/** The tasks of the task files, and the queues that runs may name. */
export type Manifest = z.infer<typeof Manifest>
export type TaskManifest = Manifest['tasks'][number]

/** Messages from the engine to a child, as core defines them. CANCELLING and WOUND_UP answer a cancel. */
export const toChild = {
  ...WorkerToExecutorMessageCatalog,
  CANCEL: { message: WorkerToExecutorMessageCatalog.CANCEL.message },
}

/** Messages from a child to the engine: those of core, and some that Trigger.dev's command line does not need. */
export const fromChild = {
  ...ExecutorToWorkerMessageCatalog,
  /** The task files are loaded; the child can take a run. */
  READY: { message: z.object({ manifest: Manifest }) },
  /** A task file could not be loaded; the child ends. */
  LOAD_FAILED: { message: z.object({ error: z.string() }) },
  /** The task's code is about to run. */
  RUN_STARTED: { message: z.object({ runId: z.string() }) },
  /** The child is idle after a run whose result it has sent. `leftovers` names the changes of the run in the process. */
  RESTED: { message: z.object({ leftovers: z.array(z.string()) }) },
  /** The child has received the cancel, so its event loop is alive. Hooks and last writes follow. */
  CANCELLING: { message: z.object({}) },
  /** The cancelled run has finished its hooks and its last writes. */
  WOUND_UP: { message: z.object({}) },
  /** One line that a task wrote to its console or logger. */
  LOG: { message: z.object({ runId: z.string(), level: z.string(), message: z.string() }) },
}
