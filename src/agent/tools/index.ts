import type { ToolSet } from 'ai'
import { faultTools } from '../offline/fault-tools.ts'
import { calculate } from './calculate.ts'
import { currentTime } from './current-time.ts'

/**
 * The agent's tools by the names that the model calls them. A tool has an `outputSchema` and returns plain JSON
 * (a BigInt or a cycle would break the stream); what it throws for the user's eyes is a `ToolError`.
 */
export function createTools({ faults }: { faults: boolean }): ToolSet {
  return { calculate, current_time: currentTime, ...(faults ? faultTools : {}) }
}
