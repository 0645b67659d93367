import { Parser } from 'expr-eval-fork'
import { z } from 'zod'
import { defineTool } from '../../../agent/tools/tool.ts'
import { ToolError } from '../../../agent/tools/tool-error.ts'

const parser = arithmeticParser()

export const calculate = defineTool({
  description:
    'Evaluates an arithmetic expression: + - * / ^ %, parentheses, sqrt, abs, round, min, max, PI.',
  inputSchema: z.object({ expression: z.string().min(1).max(500) }),
  outputSchema: z.object({ expression: z.string(), result: z.number() }),
  execute: ({ expression }) => ({ expression, result: evaluate(expression) }),
})

/** Value of an arithmetic expression, without the noise of binary fractions (0.1 + 0.2 is 0.3). */
export function evaluate(expression: string): number {
  const value = attempt(expression)
  if (typeof value !== 'number' || Number.isNaN(value))
    throw new ToolError('The expression has no number as its value.')
  if (!Number.isFinite(value))
    throw new ToolError('The result is infinite: a division by zero or too large a number.')
  return Number.isInteger(value) ? value : Number(value.toPrecision(15))
}

function attempt(expression: string): unknown {
  try {
    return parser.evaluate(expression)
  } catch {
    throw new ToolError('This is not an arithmetic expression.')
  }
}

/** Numbers and pure functions of numbers only: no names, assignments, function definitions or random values. */
function arithmeticParser(): Parser {
  const arithmetic = new Parser({
    allowMemberAccess: false,
    operators: {
      assignment: false,
      fndef: false,
      in: false,
      random: false,
      concatenate: false,
      conditional: false,
      logical: false,
      comparison: false,
      factorial: false,
      length: false,
    },
  })
  arithmetic.functions = { min: Math.min, max: Math.max }
  arithmetic.consts = { PI: Math.PI, E: Math.E }
  return arithmetic
}
