import { resourceCatalog } from '@trigger.dev/core/v3'
import type { Manifest } from './messages.ts'

/** The queue of a task that names none. */
const ownQueue = (taskId: string): string => `task/${taskId}`

/** Reads what the loaded task files have registered with core's resource catalog. */
export function readManifest(): Manifest {
  const tasks = resourceCatalog.listTaskManifests()
  const declared = resourceCatalog.listQueueManifests()
  const own = tasks
    .filter((task) => task.queue?.name === undefined)
    .map((task) => ({ name: ownQueue(task.id), concurrencyLimit: task.queue?.concurrencyLimit }))
  return {
    tasks: tasks.map((task) => ({
      id: task.id,
      filePath: task.filePath,
      queue: task.queue?.name ?? ownQueue(task.id),
      ttl: task.ttl,
      maxDuration: task.maxDuration,
      retry: task.retry,
    })),
    queues: [...declared, ...own].map((queue) => ({
      name: queue.name,
      limit: queue.concurrencyLimit ?? undefined,
    })),
  }
}
