import { z } from 'zod'
import { defineTool } from '../../../agent/tools/tool.ts'
import { ToolError } from '../../../agent/tools/tool-error.ts'

export const currentTime = defineTool({
  description: 'Tells the current date and time, in UTC or in the given IANA time zone.',
  inputSchema: z.object({
    timeZone: z.string().max(64).optional().describe('IANA name, such as "Europe/Berlin"'),
  }),
  outputSchema: z.object({ iso: z.string(), timeZone: z.string(), local: z.string() }),
  execute: ({ timeZone = 'UTC' }) => describeTime(new Date(), timeZone),
})

/** `iso` is the instant in UTC; `local` is written out for the time zone. */
export function describeTime(now: Date, timeZone: string) {
  try {
    const format = new Intl.DateTimeFormat('en-GB', { dateStyle: 'full', timeStyle: 'long', timeZone })
    return { iso: now.toISOString(), timeZone, local: format.format(now) }
  } catch {
    throw new ToolError('Unknown time zone: an IANA name is needed, such as "Europe/Berlin".')
  }
}
