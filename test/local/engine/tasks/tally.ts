import { appendFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { queue, task } from '@trigger.dev/sdk'

const lane = queue({ name: 'lane', concurrencyLimit: 1 })

/** Leaves a line in a file when it begins and when it has done its work. */
export const tally = task({
  id: 'tally',
  queue: lane,
  run: async ({ file, ms }: { file: string; ms: number }, { ctx }) => {
    appendFileSync(file, `began ${ctx.run.id}\n`)
    await sleep(ms)
    appendFileSync(file, `done ${ctx.run.id}\n`)
  },
})
