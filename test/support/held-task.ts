import { InternalError } from '@trigger.dev/core/v3/errors'
import { queue, streams, task } from '@trigger.dev/sdk'

/** How a held run is to end: with an output, failing, with its process, or as if Trigger.dev had ended it. */
export type HeldEnd =
  | { output: unknown }
  | { fail: string }
  | { exit: number }
  | { internal: 'MAX_DURATION_EXCEEDED' | 'TASK_EXECUTION_FAILED' }

export const HELD = 'held'
/** The stream of a held run that tells it how to end. */
export const HELD_END = 'end'

export const heldQueue = queue({ name: HELD, concurrencyLimit: 1 })

/** Runs until it is told how to end; once it is cancelled, its process stays until then (for 30 s). */
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
    // An engine may end it by silence.
    for await (const end of await streams.read<HeldEnd>(runId, HELD_END, { timeoutInSeconds: 600 }))
      return end
  }
}
