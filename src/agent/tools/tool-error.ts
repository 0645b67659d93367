/** An error of a tool whose message may be shown to the user and to the model. */
export class ToolError extends Error {
  override name = 'ToolError'

  /** The AI SDK gives the model an error as a text: the very text that the user reads. */
  override toString(): string {
    return this.message
  }
}
