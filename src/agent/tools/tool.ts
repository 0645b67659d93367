import type { z } from 'zod'
import type { TurnCaller } from '../turn.ts'

/** What a tool knows about the turn that calls it. */
export interface ToolRun {
  /** The user for whom the agent works; undefined when the service that started the turn does not say it. */
  caller: TurnCaller | undefined
  /** The `context` of the request; empty when it had none. */
  context: Record<string, unknown>
  /** Aborts when the turn is stopped, and when the time of the tool is up. */
  signal: AbortSignal
  /** Shows a value before the result is there. Clients see the newest one; the model sees the result alone. */
  progress(value: unknown): void
  /** The same for every attempt at this one call, and for no other call: for APIs that do a thing only once. */
  idempotencyKey: string
}

/** A function that the model may call. */
export interface TypedTool<Input, Output> {
  /** Tells the model what the tool does and when to use it. */
  description: string
  /** The arguments; a call with others is answered with an error, and `execute` is not called. */
  inputSchema: z.ZodType<Input>
  outputSchema?: z.ZodType<Output>
  /** Milliseconds that one call may take; the agent's setting when absent. */
  timeoutMs?: number
  /**
   * Returns plain JSON. A `ToolError` is for the eyes of the user and of the model; of any other error both read
   * "The tool failed."
   */
  execute(input: Input, run: ToolRun): Output | Promise<Output>
}

/** A tool among others: its schema says what it takes. */
export type AgentTool = TypedTool<unknown, unknown>

/** Gives `execute` the types of the schemas. */
export function defineTool<Input, Output>(tool: TypedTool<Input, Output>): AgentTool {
  return tool as unknown as AgentTool
}
