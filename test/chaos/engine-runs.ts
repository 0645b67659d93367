import { setTimeout as sleep } from 'node:timers/promises'
import { type Cluster, LIST_LAG_MS } from './cluster.ts'

/** A run as the engine lists it. */
export interface EngineRun {
  id: string
  status: string
  tags: string[]
}

const FINAL = new Set([
  'COMPLETED',
  'FAILED',
  'CRASHED',
  'SYSTEM_FAILURE',
  'TIMED_OUT',
  'EXPIRED',
  'CANCELED',
])
const PAGE = 100
/** All ids that one process of the engine makes begin with the same letters, see `src/local/engine/ids.ts`. */
const BOOT_LENGTH = 'run_c0000000'.length

export const isLive = ({ status }: EngineRun): boolean => !FINAL.has(status)

/** The tags that name the turn and the key of a run. Only runs of the same start share them. */
export const startsOf = ({ tags }: EngineRun): string[] => tags.filter((tag) => /^(turn|key)_/.test(tag))

/** The beginning of a run id, which names the process of the engine that made the run. */
export const bootOf = (runId: string): string => runId.slice(0, BOOT_LENGTH)

/** The runs in the engine's memory, newest first: all of them, or those with the tag. */
export async function engineRuns({ engine }: Cluster, { tag }: { tag?: string } = {}): Promise<EngineRun[]> {
  const runs: EngineRun[] = []
  await sleep(LIST_LAG_MS)
  for (let after: string | undefined; ; ) {
    const query = new URLSearchParams({ 'page[size]': String(PAGE) })
    if (tag !== undefined) query.set('filter[tag]', tag)
    if (after !== undefined) query.set('page[after]', after)
    const { data, pagination } = await callEngine(engine, 'GET', `/api/v1/runs?${query}`)
    runs.push(...(await Promise.all(data.map((run: EngineRun) => withReturnedFailure(engine, run)))))
    after = pagination.next
    if (after === undefined) return runs
  }
}

/** A failed turn of a start with a key and without the database completes its run, and returns its failure. */
async function withReturnedFailure(engine: Cluster['engine'], run: EngineRun): Promise<EngineRun> {
  const mayReturn = ['key_', 'unstored_'].every((start) => run.tags.some((tag) => tag.startsWith(start)))
  if (run.status !== 'COMPLETED' || !mayReturn) return run
  const { output } = await callEngine(engine, 'GET', `/api/v3/runs/${run.id}`)
  return output?.failure === undefined ? run : { ...run, status: 'FAILED' }
}

export async function callEngine(
  { url, secretKey }: Cluster['engine'],
  method: string,
  path: string,
  body?: object,
  // biome-ignore lint/suspicious/noExplicitAny: the tests read fields of bodies without a type
): Promise<any> {
  const response = await fetch(url + path, {
    method,
    headers: { authorization: `Bearer ${secretKey}`, 'content-type': 'application/json' },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })
  if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`)
  return response.json()
}
