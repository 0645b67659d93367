import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js'
import addFormats from 'ajv-formats'
import { type Document, dereference, type Operation } from './document.ts'

export interface Answer {
  status: number
  headers: Record<string, string | string[] | undefined>
  body: string
}

/** Headers of HTTP itself, and those that the overview of the document says of every answer. */
const GENERAL = new Set(
  `cache-control connection content-length content-type date keep-alive transfer-encoding vary
  x-accel-buffering x-content-type-options`.split(/\s+/),
)

/** Says what an answer has that the document does not describe; undefined when it is as described. */
export type Check = (operation: Operation, answer: Answer) => string | undefined

/** Compiles schemas of a document. Equal schemas, and the components, are compiled once. */
export function compilerOf(document: object & { components?: unknown }, allErrors = false) {
  const ajv = addFormats.default(new Ajv2020({ strict: false, allErrors, validateSchema: false }))
  ajv.addSchema({ $id: 'document', components: document.components })
  const compiled = new Map<string, ValidateFunction>()
  return {
    compile(schema: object): ValidateFunction {
      const text = JSON.stringify(schema).replaceAll('"#/components/', '"document#/components/')
      const validate = compiled.get(text) ?? ajv.compile(JSON.parse(text))
      compiled.set(text, validate)
      return validate
    },
    errorsText: (validate: ValidateFunction | undefined) => ajv.errorsText(validate?.errors),
  }
}

/** Makes the check for a document. Compiles every schema at once, so that no check takes longer than others. */
export function checkBy(document: Document, operations: Operation[]): Check {
  const { compile, errorsText } = compilerOf(document)
  const compiled = new Map<object, ValidateFunction>()
  for (const { responses } of operations)
    for (const { content = {} } of Object.values(responses))
      for (const { schema } of Object.values(content)) compiled.set(schema, compile(schema))

  return ({ responses }, { status, headers, body }) => {
    const response = responses[status]
    if (response === undefined) return `status ${status} is not described: ${body.slice(0, 300)}`
    const described = new Set(Object.keys(response.headers ?? {}).map((name) => name.toLowerCase()))
    const unknown = Object.keys(headers).filter((name) => !GENERAL.has(name) && !described.has(name))
    if (unknown.length > 0) return `headers are not described: ${unknown.join(', ')}`
    for (const [name, value] of Object.entries(response.headers ?? {})) {
      const { schema } = dereference(document, value)
      const sent = headers[name.toLowerCase()]
      if (sent !== undefined && schema.type === 'integer' && !/^\d+$/.test(String(sent)))
        return `header ${name} is no integer: ${sent}`
    }
    if (response.content === undefined)
      return body === '' ? undefined : `there is a body: ${body.slice(0, 300)}`
    const type = String(headers['content-type'] ?? '').replace(/;.*/, '')
    const schema = response.content[type]?.schema
    if (schema === undefined) return `content type "${type}" is not described`
    const validate = compiled.get(schema)
    if (validate?.(type.endsWith('json') ? JSON.parse(body) : body)) return undefined
    return `${errorsText(validate)}: ${body.slice(0, 600)}`
  }
}
