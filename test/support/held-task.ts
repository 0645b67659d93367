import { InternalError } from '@trigger.dev/core/v3/errors'
import { queue, streams, task } from '@trigger.dev/sdk'

/** The end of a held run: an output, an error, the exit of its worker, or an end as if by Trigger.dev. */
export type HeldEnd =
  | { output: unknown }
  | { fail: string }
  | { exit: number }
  | { internal: 'MAX_DURATION_EXCEEDED' | 'TASK_EXECUTION_FAILED' }

export const HELD = 'held'
/** The stream by which a test tells a held run how to end. */
export const HELD_END = 'end'

export const heldQueue = queue({ name: HELD, concurrencyLimit: 1 })

/** A task that runs until the test tells it how to end. A cancelled run keeps its worker until then, for 30 s at most. */
export const held = task({
  id: HELD,
  queue: heldQueue,
  retry: { maxAttempts: 1 },
  onCancel: async ({ ctx }) => void (await readEnd(ctx.run.id)),
  run: async (_payload: unknown, { ctx }) => {
    const end = await readEnd(ctx.run.id)
    if ('fail' in end) throw new Error(end.fail)
    if ('internal' in end) throw new InternalError({ code: end.internal, showStackTrace: false })
    if ('exit' in end) process.exit(end.exit)
    return end.output
  },
})

async function readEnd(runId: string): Promise<HeldEnd> {
  for (;;) {
    // An engine may end a silent stream.
    for await (const end of await streams.read<HeldEnd>(runId, HELD_END, { timeoutInSeconds: 600 }))
      return end
  }
}
