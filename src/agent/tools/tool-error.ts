/** An error of a tool whose message may be shown to the user and to the model. */
export class ToolError extends Error {
  override name = 'ToolError'
}
