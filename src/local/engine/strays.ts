import { readdir, readFile } from 'node:fs/promises'

/** The environment variable by which the programs that a child's tasks have started are found. */
export const CHILD_VARIABLE = 'LOCAL_ENGINE_CHILD'

/** How often the search for programs is repeated. A program may start another program while it is being ended. */
const ROUNDS = 10

/**
 * Ends the programs that the tasks of a child have started, in any process group or session: processes with the child's
 * mark in their environment and, while the child lives, its descendants. A process that is neither (it was started with
 * an empty environment, and its parent has ended) is not found.
 *
 * This works on Linux alone. On other systems only the child's process group ends.
 *
 * @param mark value of CHILD_VARIABLE that this child alone has
 * @param parent the child's process id, while that id certainly belongs to the child; the child itself is not ended
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

/** @returns the parent's process id; 0 when the process has ended, or is dead and not collected yet */
async function parentOf(pid: number): Promise<number> {
  const stat = await read(`/proc/${pid}/stat`)
  const [state, parent] = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return state === 'Z' ? 0 : Number(parent ?? 0)
}

async function hasMark(pid: number, mark: string): Promise<boolean> {
  return (await read(`/proc/${pid}/environ`)).split('\0').includes(`${CHILD_VARIABLE}=${mark}`)
}

/** Reads a file of a process; empty when the process belongs to another user or has ended meanwhile. */
const read = (file: string): Promise<string> => readFile(file, 'utf8').catch(() => '')

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // ESRCH: the process has ended meanwhile. EPERM: the process id belongs to another user's process now.
  }
}
