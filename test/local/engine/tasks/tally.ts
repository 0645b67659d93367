import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { appendFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { queue, streams, task } from '@trigger.dev/sdk'

/** Tasks of all kinds that leave a line in a file when they begin and when they have done their work. */

interface Payload {
  file: string
  ms: number
}
interface Place {
  run: { id: string }
  attempt: { number: number }
}

const lane = queue({ name: 'lane', concurrencyLimit: 1 })
const chunks = streams.define<{ n: number }>({ id: 'chunks' })

const begin = ({ file }: Payload, { run, attempt }: Place) =>
  appendFileSync(file, `began ${run.id} ${attempt.number}\n`)
const done = ({ file }: Payload, { run }: Place) => appendFileSync(file, `done ${run.id}\n`)

export const quick = task({
  id: 'quick',
  run: async (payload: Payload, { ctx }) => {
    begin(payload, ctx)
    done(payload, ctx)
  },
})

export const slow = task({
  id: 'slow',
  run: async (payload: Payload, { ctx }) => {
    begin(payload, ctx)
    await sleep(payload.ms)
    done(payload, ctx)
  },
})

/** One by one for each key. */
export const keyed = task({
  id: 'keyed',
  queue: lane,
  run: async (payload: Payload, { ctx }) => {
    begin(payload, ctx)
    await sleep(payload.ms / 4)
    done(payload, ctx)
  },
})

/** Fails twice. */
export const failing = task({
  id: 'failing',
  retry: { maxAttempts: 3, minTimeoutInMs: 10, maxTimeoutInMs: 20, factor: 1 },
  run: async (payload: Payload, { ctx }) => {
    begin(payload, ctx)
    if (ctx.attempt.number < 3) throw new Error('not yet')
    done(payload, ctx)
  },
})

/** Goes on until it is cancelled. */
export const endless = task({
  id: 'endless',
  run: async (payload: Payload, { ctx, signal }) => {
    begin(payload, ctx)
    await sleep(600_000, undefined, { signal }).catch(() => undefined)
  },
})

export const streaming = task({
  id: 'streaming',
  run: async (payload: Payload, { ctx }) => {
    begin(payload, ctx)
    for (let n = 0; n < 5; n++) {
      await chunks.append({ n })
      await sleep(payload.ms / 5)
    }
    done(payload, ctx)
  },
})

/** Has a program at work beside it. */
export const begetting = task({
  id: 'begetting',
  run: async (payload: Payload, { ctx }) => {
    begin(payload, ctx)
    const program = spawn('sleep', [String(payload.ms / 1000)], { stdio: 'ignore' })
    await once(program, 'exit')
    done(payload, ctx)
  },
})
