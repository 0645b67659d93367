import { createHash } from 'node:crypto'
import type { ListToolsResult } from '@ai-sdk/mcp'

/** A tool as its server describes it. */
export interface McpDefinition {
  name: string
  description: string
  inputSchema: Record<string, unknown>
  /** A digest of what the model and the approving person go by. */
  pin: string
}

const MAX_DESCRIPTION = 8 * 1024
const MAX_SCHEMA = 64 * 1024

/** The tools in a server's list that can be given to a model, and the names of the others. */
export function readDefinitions(listed: ListToolsResult['tools']): {
  tools: McpDefinition[]
  unusable: string[]
} {
  const usable: McpDefinition[] = []
  const unusable: string[] = []
  for (const { name, title, description = title ?? '', inputSchema, outputSchema } of listed) {
    const schema = { ...inputSchema, type: 'object' }
    const fits =
      (inputSchema.type === undefined || inputSchema.type === 'object') &&
      description.length <= MAX_DESCRIPTION &&
      JSON.stringify(schema).length <= MAX_SCHEMA
    if (!fits) unusable.push(name)
    else
      usable.push({
        name,
        description,
        inputSchema: schema,
        pin: pinOf([name, description, schema, outputSchema]),
      })
  }
  return { tools: usable, unusable }
}

/** The same for every order of the fields. */
function pinOf(value: unknown): string {
  const canonical = JSON.stringify(value, (_name, inner: unknown) =>
    typeof inner === 'object' && inner !== null && !Array.isArray(inner)
      ? Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1))
      : inner,
  )
  return createHash('sha256').update(canonical).digest('hex').slice(0, 32)
}
