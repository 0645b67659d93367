import { isCarried } from '../agent/clean.ts'
import type { Fault } from '../errors.ts'
import { StartError } from '../start-error.ts'
import { pointer } from './validation/text-faults.ts'
import { compileCheck, invalidBody } from './validation/validation.ts'

/** Most bytes of a context as JSON. The context is part of the run's payload, which has room for 120 KiB in all. */
export const MAX_CONTEXT_BYTES = 16 * 1024

/**
 * Makes the check of the `context` of requests. A request without a context counts as one with an empty context.
 * @param schema JSON Schema of the agent; any object when absent
 * @param agent the name of the agent
 * @throws StartError when the schema is not valid; the check throws the Problem `invalid_request` with the path of
 * every fault
 */
export function contextCheck(
  schema: Record<string, unknown> | undefined,
  agent: string,
): (context: Record<string, unknown> | undefined) => void {
  const faultsOf = schema === undefined ? () => [] : compiled(schema, agent)
  return (context = {}) => {
    const errors = isTooLarge(context)
      ? [TOO_LARGE]
      : [...uncarried(context, '/context'), ...faultsOf({ context })]
    if (errors.length > 0) throw invalidBody(errors)
  }
}

/** The id makes references within the agent's schema begin at that schema. */
function compiled(schema: Record<string, unknown>, agent: string): (value: unknown) => Fault[] {
  const context = { $id: 'context.json', ...schema }
  try {
    return compileCheck({ type: 'object', properties: { context }, required: ['context'] })
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause)
    const card = `src/agents/${agent}/card.ts`
    throw new StartError(`contextSchema in ${card} cannot be used as a JSON Schema: ${why}.`, { cause })
  }
}

const TOO_LARGE: Fault = { path: '/context', message: 'must have at most 16 KiB as JSON' }
const isTooLarge = (context: object) => Buffer.byteLength(JSON.stringify(context)) > MAX_CONTEXT_BYTES

/** The fields of a value that would not reach the worker. */
export function uncarried(value: unknown, path: string): Fault[] {
  if (typeof value !== 'object' || value === null) return []
  return Object.entries(value).flatMap(([name, inner]) => {
    const at = `${path}/${pointer(name)}`
    return isCarried(name) ? uncarried(inner, at) : [{ path: at, message: NOT_CARRIED }]
  })
}

const NOT_CARRIED = 'must have another name: Trigger.dev does not carry this one'
