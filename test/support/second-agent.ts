import { z } from 'zod'
import type { AgentDefinition, RegisteredAgent } from '../../src/agent/definition.ts'
import { defineTool } from '../../src/agent/tools/tool.ts'
import { ToolError } from '../../src/agent/tools/tool-error.ts'

const define = (needsApproval: NonNullable<Parameters<typeof defineTool>[0]['needsApproval']>) =>
  defineTool({
    description: 'Refunds an order.',
    inputSchema: z.object({ order: z.string() }),
    needsApproval,
    execute: ({ order }) => {
      if (order === '') throw new ToolError('Which order?')
      return { refunded: order }
    },
  })

const definition: AgentDefinition = {
  instructions: 'You help with orders.',
  tools: () => ({
    look_up_order: defineTool({
      description: 'Looks an order up.',
      inputSchema: z.object({ order: z.string() }),
      execute: ({ order }, { context }) => ({ order, shop: context.shop ?? null }),
    }),
    refund: define(true),
    refund_much: define(() => true),
  }),
  limits: { maxSteps: 1 },
}

/** A second agent, for tests: with another context and other tools than `default`. */
export const support: RegisteredAgent = {
  card: {
    description: 'Helps with orders.',
    contextSchema: { type: 'object', properties: { shop: { type: 'string' } }, additionalProperties: false },
  },
  load: async () => definition,
}
