import type { StepResult, ToolSet } from 'ai'

/** Equal calls that may fail one after the other before the loop is cut. */
const MOST = 3

/** Whether the last three calls of the turn were the same call, and each of them failed. */
export function isToolLoop(steps: StepResult<ToolSet>[]): boolean {
  const calls = steps.flatMap(({ content }) => {
    const failed = new Set(content.flatMap((part) => (part.type === 'tool-error' ? [part.toolCallId] : [])))
    return content.flatMap((part) =>
      part.type === 'tool-call'
        ? [{ call: `${part.toolName} ${JSON.stringify(part.input)}`, failed: failed.has(part.toolCallId) }]
        : [],
    )
  })
  const last = calls.slice(-MOST)
  return last.length === MOST && last.every(({ call, failed }) => failed && call === last[0]?.call)
}
