import type { z } from 'zod'
import type { TurnCaller } from '../turn.ts'

/** The facts about a turn that its tools get. */
export interface ToolRun {
  /** The user for whom the agent works; undefined when the service that started the turn is older than the worker. */
  caller: TurnCaller | undefined
  /** The `context` of the request; empty when it had none. */
  context: Record<string, unknown>
  /** Aborts when the turn is stopped, and when the time of the tool is up. */
  signal: AbortSignal
  /** Shows a value before the result is there. Clients see the newest value; the model sees the result alone. */
  progress(value: unknown): void
  /** Identifies this call, the same in every attempt, for APIs that carry out a repeated request only once. */
  idempotencyKey: string
}

/** Whether a call needs somebody's yes, or the sentence with which that person is asked. */
type Needed = boolean | string

/** For whom a tool is called. */
export type AskedFor = Pick<ToolRun, 'caller' | 'context'>

/** A function that the model may call. */
export interface TypedTool<Input, Output> {
  /**
   * Whether somebody has to agree before a call is executed. A text is a yes, too: it is shown to the person who decides.
   * A function that fails counts as a yes.
   */
  needsApproval?: boolean | ((input: Input, asked: AskedFor) => Needed | Promise<Needed>)
  /** Tells the model what the tool does and when to use it. */
  description: string
  /** Schema of the arguments. A call whose arguments do not fit is answered with an error, without `execute`. */
  inputSchema: z.ZodType<Input>
  outputSchema?: z.ZodType<Output>
  /** A digest of the tool as it was offered. It is kept with every call: a changed tool is not called. */
  pin?: string
  /** Milliseconds that one call may take; the agent's setting when absent. */
  timeoutMs?: number
  /**
   * Returns plain JSON. User and model read the message of a `ToolError`; for any other error both read
   * "The tool failed." Without this function the caller of the service executes the tool: the turn waits for the result.
   */
  execute?(input: Input, run: ToolRun): Output | Promise<Output>
}

/** A tool whose arguments are known only by its schema. */
export type AgentTool = TypedTool<unknown, unknown>

/** Gives `execute` the types of the schemas. */
export function defineTool<Input, Output>(tool: TypedTool<Input, Output>): AgentTool {
  return tool as unknown as AgentTool
}
