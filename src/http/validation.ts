import { Ajv, type Options } from 'ajv'
import addFormats from 'ajv-formats'
import type { FastifySchemaCompiler } from 'fastify'
import { type Fault, problem } from '../errors.ts'
import { toFaults } from './faults.ts'
import { textFaults } from './text-faults.ts'

const COMMON: Options = { allErrors: true, verbose: true, strictTypes: false, strictRequired: false }

/** Bodies say what they mean: nothing is coerced, dropped or added. The rest of a request is all text. */
const OPTIONS: Record<string, Options> = {
  body: { ...COMMON },
  text: { ...COMMON, coerceTypes: true, useDefaults: true },
}

const PARTS: Record<string, NonNullable<Fault['in']>> = {
  params: 'path',
  querystring: 'query',
  headers: 'header',
}

/** Validators that throw one Problem with every fault of the part, instead of stopping at the first. */
export function buildValidator(shared: Record<string, object>): FastifySchemaCompiler<object> {
  const body = ajv(OPTIONS.body, shared)
  const text = ajv(OPTIONS.text, shared)
  return ({ schema, httpPart }) => {
    const part = PARTS[httpPart ?? '']
    const validate = (part === undefined ? body : text).compile(schema)
    return (data: unknown) => {
      // Undefined: there was no body at all, which the schema would call "must be object".
      if (data === undefined || data === null)
        return refusal([{ path: '', message: 'a JSON body is required' }])
      const found = part === 'header' ? [] : textFaults(data).map((fault) => located(fault, part))
      if (!validate(data)) found.push(...toFaults(validate.errors ?? [], part))
      return found.length === 0 ? { value: data } : refusal(found)
    }
  }
}

const MAX_FAULTS = 100

const refusal = (faults: Fault[]) => ({
  error: problem('invalid_request', {
    detail: sentence(faults),
    members: { errors: faults.slice(0, MAX_FAULTS) },
  }),
})

function sentence([first, ...others]: Fault[]): string {
  if (first === undefined) return 'The request is not valid.'
  const subject = first.path === '' ? 'The request' : `\`${first.path.slice(1)}\``
  const more = others.length === 0 ? '' : ` (and ${others.length} more: see \`errors\`)`
  return first.path === '' ? `${capital(first.message)}${more}.` : `${subject} ${first.message}${more}.`
}

const capital = (text: string) => text.charAt(0).toUpperCase() + text.slice(1)

const located = (fault: Fault, part: Fault['in']): Fault => (part ? { in: part, ...fault } : fault)

function ajv(options: Options | undefined, shared: Record<string, object>): Ajv {
  const instance = new Ajv({ ...options, keywords: ['x-fault', 'style', 'explode'] })
  addFormats.default(instance)
  for (const schema of Object.values(shared)) instance.addSchema(schema)
  return instance
}
