import { watch } from 'node:fs'
import { dirname } from 'node:path'

/** Time to wait after a change, because editors write a file in several steps. */
const SETTLE_MS = 100

/**
 * Calls `onChange` when a source file changes in the folder above the folder of a task file, because tasks import code
 * from there.
 *
 * @returns a function that stops the watch
 */
export function watchTasks(taskModules: string[], onChange: () => void): () => void {
  let timer: NodeJS.Timeout | undefined
  const folders = new Set(taskModules.map((file) => dirname(dirname(file))))
  const watchers = [...folders].map((folder) =>
    watch(folder, { recursive: true, persistent: false }, (_event, file) => {
      if (!file || !/\.(ts|js|json)$/.test(file)) return
      clearTimeout(timer)
      timer = setTimeout(onChange, SETTLE_MS).unref()
    }),
  )
  return () => {
    clearTimeout(timer)
    for (const watcher of watchers) watcher.close()
  }
}
