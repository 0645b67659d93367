import { metadata, queue, streams, task, tasks } from '@trigger.dev/sdk'

/** The tasks of the recordings, as far as the recorded answers depend on them. */

const sleep = (ms: number, signal: AbortSignal) =>
  new Promise<void>((resolve) => {
    setTimeout(resolve, ms)
    signal.addEventListener('abort', () => resolve())
  })

const single = queue({ name: 'single', concurrencyLimit: 1 })

export const echo = task({
  id: 'echo',
  run: async (payload: { ms?: number } | null, { signal }) => {
    if (payload?.ms) await sleep(payload.ms, signal)
    return { echoed: payload, at: 'fixed' }
  },
})

export const slow = task({
  id: 'slow',
  run: async ({ ms }: { ms: number }, { signal }) => {
    metadata.set('i', 1)
    await metadata.flush()
    await out.append({ i: 0 })
    // What the recordings started went on for half a minute; here it may not occupy a process for so long.
    await sleep(ms < 60_000 ? ms / 100 : ms, signal)
  },
})

/** One after the other, to have runs that wait. */
export const queued = task({
  id: 'queued',
  queue: single,
  run: async ({ ms }: { ms: number }, { signal }) => sleep(ms, signal),
})

export const waiter = task({ id: 'waiter', run: async () => 'waited' })

export const boom = task({
  id: 'boom',
  run: async () => {
    throw new TypeError('kaboom')
  },
})

const out = streams.define<{ i: number; text?: string }>({ id: 'out' })

export const streamer = task({
  id: 'streamer',
  run: async ({ n }: { n: number }) => {
    metadata.set('progress', 1)
    for (let i = 0; i < n; i++) await out.append({ i, text: `chunk-${i}` })
    return { streamed: n }
  },
})

export const agentChat = task({
  id: 'agent-chat',
  run: async (payload: { dies?: boolean; ms?: number }, { signal }) => {
    if (payload.dies) process.kill(process.pid, 'SIGKILL')
    if (payload.ms) return sleep(payload.ms, signal)
    const { waitUntilComplete } = streams.define<number>({ id: 'ui' }).pipe(ReadableStream.from([1]))
    await waitUntilComplete()
    return 'said'
  },
})

export const parent = task({
  id: 'parent',
  run: async () => ({ childId: (await tasks.trigger('echo', { from: 'parent' })).id }),
})
