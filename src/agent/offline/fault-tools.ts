import { setTimeout as sleepFor } from 'node:timers/promises'
import { tool } from 'ai'
import { z } from 'zod'

/** Tools with which tests provoke trouble; see `faults.ts`. */
export const faultTools = {
  sleep: tool({
    description: 'Sleeps, deaf to every signal.',
    inputSchema: z.object({ seconds: z.number().min(0).max(3600) }),
    outputSchema: z.object({ slept: z.number() }),
    execute: async ({ seconds }) => {
      await sleepFor(seconds * 1000)
      return { slept: seconds }
    },
  }),
  filler: tool({
    description: 'Returns a text of the given length.',
    inputSchema: z.object({ characters: z.number().int().min(0).max(5_000_000) }),
    outputSchema: z.object({ text: z.string() }),
    execute: ({ characters }) => ({ text: 'x'.repeat(characters) }),
  }),
}
