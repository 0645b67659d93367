import { createHash } from 'node:crypto'

/** Most characters of a tool's name that all providers take. */
const MAX_NAME = 64
const DIGEST = 8

/** The name by which the model calls a server's tool: `server_tool`, in the characters that all providers take. */
export function nameFor(server: string, tool: string): string {
  const name = `${server}_${tool.replace(/[^\w-]/g, '_')}`
  if (name.length <= MAX_NAME) return name
  const digest = createHash('sha256').update(tool).digest('hex').slice(0, DIGEST)
  return `${name.slice(0, MAX_NAME - DIGEST - 1)}_${digest}`
}
