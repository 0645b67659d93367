/** An error of a tool whose message may be shown to the user and to the model. */
export class ToolError extends Error {
  override name = 'ToolError'

  /** The AI SDK shows the model this text of an error, so model and user read the same sentence. */
  override toString(): string {
    return this.message
  }
}
