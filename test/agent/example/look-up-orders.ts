import { z } from 'zod'
import { defineTool } from '../../../src/agent/tools/tool.ts'
import { ToolError } from '../../../src/agent/tools/tool-error.ts'

const orders = z.array(z.object({ id: z.string(), status: z.string(), total: z.string() }))

export const lookUpOrders = defineTool({
  description: 'Lists the orders of the user who asks, newest first.',
  inputSchema: z.object({ status: z.enum(['open', 'sent', 'returned']).optional() }),
  outputSchema: z.object({ orders }),
  execute: async ({ status }, { caller, context, signal, progress, idempotencyKey }) => {
    if (caller === undefined) throw new ToolError('Orders are shown to known users only.')
    progress({ looking: `at ${status ?? 'all'} orders` })
    const address = new URL(
      `/users/${encodeURIComponent(caller.userId)}/orders`,
      process.env.AGENT_ORDERS_URL,
    )
    if (status !== undefined) address.searchParams.set('status', status)
    if (typeof context.shop === 'string') address.searchParams.set('shop', context.shop)
    const answer = await fetch(address, { signal, headers: { 'idempotency-key': idempotencyKey } })
    if (!answer.ok) throw new ToolError('The shop does not answer at the moment.')
    return { orders: orders.parse(await answer.json()) }
  },
})
