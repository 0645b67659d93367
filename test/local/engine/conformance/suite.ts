import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { type RetrieveRunResult, runs, streams, tasks } from '@trigger.dev/sdk'

/** One thing that any Trigger.dev server does, tried through the SDK alone. */
export interface Case {
  name: string
  run: (target: { url: string; secretKey: string }) => Promise<void>
}

/** Thrown by a case that the server cannot do for a reason that is no fault, e.g. because it has no S2. */
export class Unable extends Error {}

const DEADLINE_MS = 60_000
const POLL_MS = 30
const FINAL = new Set([
  'COMPLETED',
  'FAILED',
  'CANCELED',
  'CRASHED',
  'SYSTEM_FAILURE',
  'TIMED_OUT',
  'EXPIRED',
])

export type AnyRun = RetrieveRunResult<string>
type TriggerOptions = Parameters<typeof tasks.trigger>[2]

/** Starts a run and returns its id. */
export async function start(taskId: string, payload?: unknown, options?: TriggerOptions): Promise<string> {
  return (await tasks.trigger(taskId, payload, options)).id
}

/** Starts a run and waits for its end. */
export async function runToEnd(taskId: string, payload?: unknown, options?: TriggerOptions): Promise<AnyRun> {
  return ended(await start(taskId, payload, options))
}

export const get = (id: string): Promise<AnyRun> => runs.retrieve(id, { retry: { maxAttempts: 1 } })

/** Waits until a run has ended and its process has let go of it. */
export async function ended(id: string): Promise<AnyRun> {
  return eventually(
    () => get(id),
    (run) => FINAL.has(run.status) && (run.finishedAt !== undefined || !run.startedAt),
  )
}

export const reaches = (id: string, status: string): Promise<AnyRun> =>
  eventually(
    () => get(id),
    (run) => run.status === status,
  )

/** Asks again until the answer is as expected. */
export async function eventually<T>(ask: () => Promise<T>, expected: (value: T) => boolean): Promise<T> {
  const deadline = Date.now() + DEADLINE_MS
  for (;;) {
    const value = await ask()
    if (expected(value)) return value
    if (Date.now() > deadline) assert.fail(`not reached in time; last seen: ${JSON.stringify(value)}`)
    await sleep(POLL_MS)
  }
}

/** Reads a stream until it ends or the run has ended and `count` chunks have come. */
export async function readAll(
  runId: string,
  count: number,
  options: { startIndex?: number } = {},
): Promise<unknown[]> {
  const chunks: unknown[] = []
  const reader = new AbortController()
  const stream = await streams.read(runId, 'words', {
    signal: reader.signal,
    timeoutInSeconds: 30,
    ...options,
  })
  for await (const chunk of stream) {
    chunks.push(chunk)
    if (chunks.length >= count) break
  }
  reader.abort()
  return chunks
}

/** Waits until a task has said that it began; its process is then certainly in the task's code. */
export async function began(runId: string): Promise<void> {
  assert.deepEqual(await readAll(runId, 1), ['began'])
}

/** What an SDK call fails with. */
export async function failureOf(
  call: Promise<unknown>,
): Promise<{ status?: number; headers?: Record<string, string>; message: string }> {
  try {
    await call
  } catch (error) {
    return error as { status?: number; message: string }
  }
  return assert.fail('it should have failed')
}

/** Does something through the SDK, and shows the headers of the last answer to a request for such a path. */
export async function observed<T>(
  path: string,
  call: () => Promise<T>,
): Promise<{ value: T; headers: Headers | undefined }> {
  const { fetch } = globalThis
  let headers: Headers | undefined
  globalThis.fetch = async (input, init) => {
    const response = await fetch(input, init)
    if (new URL(input instanceof Request ? input.url : input).pathname.startsWith(path))
      headers = response.headers
    return response
  }
  try {
    return { value: await call(), headers }
  } finally {
    globalThis.fetch = fetch
  }
}

export const unique = (): string => randomUUID()
