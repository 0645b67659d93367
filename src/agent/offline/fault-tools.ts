import { appendFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { resolve, sep } from 'node:path'
import { setImmediate, setTimeout as sleepFor } from 'node:timers/promises'
import { z } from 'zod'
import { defineTool } from '../tools/tool.ts'
import { ToolError } from '../tools/tool-error.ts'

/** Tools with which tests provoke trouble; see `faults.ts`. */
export const faultTools = {
  sleep: defineTool({
    description: 'Sleeps, deaf to every signal.',
    inputSchema: z.object({ seconds: z.number().min(0).max(3600) }),
    outputSchema: z.object({ slept: z.number() }),
    execute: async ({ seconds }) => {
      await sleepFor(seconds * 1000)
      return { slept: seconds }
    },
  }),
  filler: defineTool({
    description: 'Returns a text of the given length.',
    inputSchema: z.object({ characters: z.number().int().min(0).max(5_000_000) }),
    outputSchema: z.object({ text: z.string() }),
    execute: ({ characters }) => ({ text: 'x'.repeat(characters) }),
  }),
  breaking: defineTool({
    description: 'Fails with an error whose message has to stay secret.',
    inputSchema: z.object({}),
    execute: () => {
      throw new Error('secret-of-the-tool')
    },
  }),
  stamp: defineTool({
    description: 'Writes a line with its idempotency key to a file. Somebody has to agree first.',
    inputSchema: z.object({
      file: z.string(),
      text: z.string(),
      dies: z.enum(['before', 'after']).optional(),
      hangs: z.boolean().optional(),
    }),
    needsApproval: true,
    execute: async ({ file, text, dies, hangs }, { idempotencyKey }) => {
      if (!resolve(file).startsWith(tmpdir() + sep)) throw new ToolError('The file is not a temporary one.')
      if (dies === 'before') process.exit(1)
      await appendFile(file, `${text} ${idempotencyKey}\n`)
      if (dies === 'after') process.exit(1)
      if (hangs) await sleepFor(3_600_000)
      return { text }
    },
  }),
  counting: defineTool({
    description: 'Shows each number on its way.',
    inputSchema: z.object({ to: z.number().int().min(1).max(100) }),
    execute: async ({ to }, { progress }) => {
      for (let n = 1; n <= to; n++) {
        progress({ n })
        await setImmediate()
      }
      return { counted: to }
    },
  }),
}
