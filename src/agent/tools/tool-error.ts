/** An error of a tool whose message may be shown to the user; all others are shown as "The tool failed." */
export class ToolError extends Error {
  override name = 'ToolError'
}
