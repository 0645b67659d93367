import { z } from 'zod'
import { defineTool } from '../tools/tool.ts'

/** Tools of the offline model that wait for somebody: one needs a yes, the other one is executed by the caller. */
export const askingTools = {
  send_note: defineTool({
    description:
      'Sends a short note to somebody. Somebody has to agree first. (The offline model sends nothing.)',
    inputSchema: z.object({ to: z.string().min(1).max(100), text: z.string().min(1).max(1000) }),
    needsApproval: ({ to }) => `Send this note to ${to}?`,
    execute: ({ to }) => ({ sent: true, to }),
  }),
  choose_option: defineTool({
    description:
      'Lets the user choose one of some options. The page of the caller shows them and returns the choice.',
    inputSchema: z.object({
      question: z.string().min(1).max(500),
      options: z.array(z.string().min(1).max(100)).min(2).max(10),
    }),
  }),
}
