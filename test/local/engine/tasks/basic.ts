import { spawn } from 'node:child_process'
import {
  AbortTaskRunError,
  logger,
  metadata,
  queue,
  runs,
  schemaTask,
  streams,
  task,
  tasks,
} from '@trigger.dev/sdk'
import { z } from 'zod'

const sleep = (ms: number, signal?: AbortSignal) =>
  new Promise<void>((resolve) => {
    const timer = setTimeout(resolve, ms)
    signal?.addEventListener('abort', () => {
      clearTimeout(timer)
      resolve()
    })
  })

export const oneByOne = queue({ name: 'one-by-one', concurrencyLimit: 1 })
export const twoAtOnce = queue({ name: 'two-at-once', concurrencyLimit: 2 })

export const echo = task({ id: 'echo', run: async (payload: unknown) => ({ echoed: payload }) })

export const nothing = task({ id: 'nothing', run: async () => undefined })

export const ordered = task({
  id: 'ordered',
  queue: oneByOne,
  run: async ({ ms = 0 }: { ms?: number; label?: string }) => {
    const from = Date.now()
    await sleep(ms)
    return { from, to: Date.now() }
  },
})

export const paired = task({
  id: 'paired',
  queue: twoAtOnce,
  run: async ({ ms }: { ms: number }) => {
    const from = Date.now()
    await sleep(ms)
    return { from, to: Date.now() }
  },
})

/** Runs until its time is up or it is cancelled, which it says in its stream. */
export const patient = task({
  id: 'patient',
  run: async ({ ms }: { ms: number }, { signal }) => {
    await words.append('began')
    await sleep(ms, signal)
    if (signal.aborted) await words.append('stopped')
    return 'done'
  },
})

export const words = streams.define<string | { n: number }>({ id: 'words' })

export const writer = task({
  id: 'writer',
  run: async ({ count, gapMs = 0 }: { count: number; gapMs?: number }) => {
    const { waitUntilComplete } = words.pipe(
      new ReadableStream({
        async start(controller) {
          for (let n = 0; n < count; n++) {
            controller.enqueue({ n })
            if (gapMs > 0) await sleep(gapMs)
          }
          controller.close()
        },
      }),
    )
    await waitUntilComplete()
    return { count }
  },
})

/** Pipes without waiting: what is written must arrive before the run counts as completed. */
export const hastyWriter = task({
  id: 'hasty-writer',
  run: async ({ count }: { count: number }) => {
    words.pipe(ReadableStream.from(Array.from({ length: count }, (_, n) => ({ n }))))
    return 'returned'
  },
})

export const boom = task({
  id: 'boom',
  run: async () => {
    throw new TypeError('kaboom')
  },
})

export const flaky = task({
  id: 'flaky',
  retry: { maxAttempts: 3, minTimeoutInMs: 10, maxTimeoutInMs: 20, factor: 1 },
  run: async ({ succeedAt }: { succeedAt: number }, { ctx }) => {
    if (ctx.attempt.number < succeedAt) throw new Error(`attempt ${ctx.attempt.number}`)
    return { attempt: ctx.attempt.number }
  },
})

export const hopeless = task({
  id: 'hopeless',
  retry: { maxAttempts: 5, minTimeoutInMs: 10 },
  run: async () => {
    throw new AbortTaskRunError('no use')
  },
})

export const typed = schemaTask({
  id: 'typed',
  schema: z.object({ n: z.number() }),
  run: async ({ n }) => n * 2,
})

/** Its process ends in its first attempts. */
export const crashy = task({
  id: 'crashy',
  retry: { maxAttempts: 3, minTimeoutInMs: 10, maxTimeoutInMs: 20, factor: 1 },
  run: async ({ succeedAt, how }: { succeedAt: number; how: 'exit' | 'throw' | 'SIGKILL' }, { ctx }) => {
    if (ctx.attempt.number >= succeedAt) return { attempt: ctx.attempt.number }
    if (how === 'exit') process.exit(3)
    if (how === 'SIGKILL') process.kill(process.pid, how)
    setTimeout(() => {
      throw new RangeError('out of band')
    })
    return sleep(60_000)
  },
})

export const exits = task({ id: 'exits', run: async () => process.exit(3) })

export const throwsLater = task({
  id: 'throws-later',
  run: async () => {
    setTimeout(() => {
      throw new RangeError('out of band')
    })
    await sleep(5000)
  },
})

/** Blocks its process: hears neither signals nor messages. */
export const deaf = task({
  id: 'deaf',
  run: async ({ ms }: { ms: number }) => {
    await words.append('began')
    const end = Date.now() + ms
    while (Date.now() < end);
  },
})

/** Starts a program and waits for it, with no part in how it ends. */
export const begetter = task({
  id: 'begetter',
  run: async ({ seconds, detached = false }: { seconds: number; detached?: boolean }) => {
    const program = spawn('sleep', [String(seconds)], { stdio: 'ignore', detached })
    await words.append('began')
    await new Promise((resolve) => program.once('exit', resolve))
  },
})

/** Hears the signal and goes on. */
export const stubborn = task({
  id: 'stubborn',
  run: async ({ ms }: { ms: number }) => {
    await words.append('began')
    await sleep(ms)
    return 'went on'
  },
})

/** Takes its time to wind up when it is cancelled. */
export const lingering = task({
  id: 'lingering',
  queue: oneByOne,
  run: async ({ ms }: { ms: number }) => {
    await words.append('began')
    await sleep(ms)
  },
  onCancel: async () => sleep(25_000),
})

/** Takes memory until there is none. */
export const hog = task({
  id: 'hog',
  run: async () => {
    const hoard: number[][] = []
    // Large arrays of numbers fill the heap without much work for the garbage collector.
    for (;;) hoard.push(new Array<number>(4_000_000).fill(hoard.length + 0.5))
  },
})

export const witness = task({
  id: 'witness',
  run: async (_payload: unknown, { ctx, signal }) => ({
    ctx,
    aborted: signal.aborted,
    env: Object.keys(process.env).sort(),
    pid: process.pid,
  }),
})

export const notes = task({
  id: 'notes',
  run: async () => {
    metadata.set('step', 1).increment('count', 2).append('list', 'a')
    await metadata.flush()
    metadata.set('step', 2).append('list', 'b')
    return 'noted'
  },
})

/** Notes something in the metadata of the runs above it. */
export const reporter = task({
  id: 'reporter',
  run: async () => {
    metadata.parent.set('reported', true)
    metadata.root.increment('reports', 1)
  },
})

export const editor = task({ id: 'editor', run: async () => (await tasks.trigger('reporter', {})).id })

export const talker = task({
  id: 'talker',
  run: async () => {
    console.log('to the console', { n: 1 })
    console.error('to the error console')
    logger.info('to the logger', { n: 2 })
    process.stdout.write('to stdout\n')
  },
})

export const bulky = task({ id: 'bulky', run: async ({ bytes }: { bytes: number }) => 'x'.repeat(bytes) })

export const measure = task({ id: 'measure', run: async (payload: string) => payload.length })

export const dates = task({
  id: 'dates',
  run: async ({ at }: { at: Date }) => ({ isDate: at instanceof Date, next: new Date(at.getTime() + 1000) }),
})

/** Looks up another run from within its own, with the key that its process has. */
export const lookup = task({
  id: 'lookup',
  run: async ({ runId }: { runId: string }) => {
    const { status, payload, output } = await runs.retrieve(runId)
    return { status, payload, output }
  },
})

export const waitsForChild = task({
  id: 'waits-for-child',
  run: async () => {
    await tasks.triggerAndWait('echo', 1)
  },
})

export const parent = task({
  id: 'parent',
  run: async () => (await tasks.trigger('echo', 'from the parent')).id,
})
