import { schemaFaults } from '../agent/structured/answer-schema.ts'
import type { ResponseFormat } from '../agent/turn.ts'
import { uncarried } from './turn-context.ts'
import { invalidBody } from './validation/validation.ts'

const PATH = '/responseFormat/schema'

/**
 * Checks the schema of the answer that a request asks for.
 * @throws Problem `invalid_request` with the path of every fault, five at most
 */
export function checkResponseFormat(format: ResponseFormat | undefined): void {
  if (format === undefined) return
  const faults = [
    ...uncarried(format.schema, PATH),
    ...schemaFaults(format.schema).map(({ path, message }) => ({ path: PATH + path, message })),
  ]
  if (faults.length > 0) throw invalidBody(faults)
}
