import { cleanJson, cleanText } from '../agent/clean.ts'
import { problem } from '../errors.ts'
import type { ActionBody } from '../schemas/action.ts'
import type { Answer } from '../services/actions/actions.ts'

/** Characters of an output as JSON. */
const MAX_OUTPUT = 64 * 1024

/**
 * Reads an answer about a tool call.
 * @throws Problem `invalid_request` unless the body has exactly one of `decision`, `output` and `error`
 */
export function readAnswer(body: ActionBody): Answer {
  const { decision, reason, error } = body
  const given = [decision !== undefined, 'output' in body, error !== undefined].filter(Boolean)
  if (given.length !== 1) throw invalid('', 'must have exactly one of decision, output and error')
  if (decision !== undefined)
    return { decision, ...(reason === undefined ? {} : { reason: cleanText(reason) }) }
  if (reason !== undefined) throw invalid('/reason', 'belongs to a decision')
  if (error !== undefined) return { error: cleanText(error) }
  if (JSON.stringify(body.output).length > MAX_OUTPUT)
    throw invalid('/output', `must have at most ${MAX_OUTPUT} characters as JSON`)
  return { output: cleanJson(body.output) }
}

const invalid = (path: string, message: string) =>
  problem('invalid_request', { members: { errors: [{ path, message }] } })
