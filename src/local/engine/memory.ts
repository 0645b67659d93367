import { readFile } from 'node:fs/promises'

const READ_MS = 250
/** Linux counts memory in pages, of 4 KiB on x64 and on arm64 as it is usually built. */
const PAGE_BYTES = 4096

/**
 * Calls `onExcess` once when the resident memory of a process exceeds `maxBytes`. (Node's own limit covers the heap
 * alone, and buffers lie outside of it.) The memory is read four times a second, on Linux alone; on other systems there
 * is no limit.
 *
 * @returns a function that stops the watch
 */
export function watchMemory(pid: number, maxBytes: number, onExcess: (bytes: number) => void): () => void {
  if (process.platform !== 'linux') return () => {}
  const timer = setInterval(async () => {
    const bytes = await residentBytes(pid)
    if (bytes <= maxBytes) return
    clearInterval(timer)
    onExcess(bytes)
  }, READ_MS).unref()
  return () => clearInterval(timer)
}

/** @returns 0 when the process has ended */
async function residentBytes(pid: number): Promise<number> {
  const statm = await readFile(`/proc/${pid}/statm`, 'utf8').catch(() => '')
  return Number(statm.split(' ')[1] ?? 0) * PAGE_BYTES
}
