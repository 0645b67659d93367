import { readdir, readFile } from 'node:fs/promises'

/** The environment variable by which the processes that a child has started are found again. */
export const CHILD_VARIABLE = 'LOCAL_ENGINE_CHILD'

/** A process that starts others while it is being ended is looked for again, so often at most. */
const ROUNDS = 10

/**
 * Ends what the tasks of a child have started, whatever process group or session it is in: processes that have the
 * child's mark in their environment, and while the child lives those that descend from it. A process that has
 * neither (started with an empty environment, and its parent has ended) is not found.
 *
 * Linux alone: elsewhere only the child's process group ends.
 *
 * @param mark value of CHILD_VARIABLE that this child alone has
 * @param parent the child's process id while it is certainly the child's; it does not end the child itself
 */
export async function endStrays(mark: string, parent?: number): Promise<void> {
  if (process.platform !== 'linux') return
  for (let round = 0; round < ROUNDS; round++) {
    const strays = await findStrays(mark, parent)
    for (const pid of strays) kill(pid)
    if (strays.length === 0) return
  }
}

async function findStrays(mark: string, parent: number | undefined): Promise<number[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map(Number)
  const processes = await Promise.all(
    pids.map(async (pid) => ({ pid, parent: await parentOf(pid), isMarked: await hasMark(pid, mark) })),
  )
  const found = new Set(processes.flatMap(({ pid, isMarked }) => (isMarked ? [pid] : [])))
  if (parent !== undefined) {
    const family = new Set([parent])
    for (let size = 0; size < family.size; ) {
      size = family.size
      for (const one of processes) if (family.has(one.parent)) family.add(one.pid)
    }
    for (const pid of family) found.add(pid)
    found.delete(parent)
  }
  found.delete(process.pid)
  return [...found]
}

/** @returns 0 when the process has ended, or is dead and waits to be collected */
async function parentOf(pid: number): Promise<number> {
  const stat = await read(`/proc/${pid}/stat`)
  const [state, parent] = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return state === 'Z' ? 0 : Number(parent ?? 0)
}

async function hasMark(pid: number, mark: string): Promise<boolean> {
  return (await read(`/proc/${pid}/environ`)).split('\0').includes(`${CHILD_VARIABLE}=${mark}`)
}

/** Processes of other users cannot be read, and processes end while they are looked at. */
const read = (file: string): Promise<string> => readFile(file, 'utf8').catch(() => '')

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // ESRCH: it has ended meanwhile. EPERM: it has become another user's.
  }
}
