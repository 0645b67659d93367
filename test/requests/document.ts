/** The parts of an OpenAPI document that requests are made from and answers are checked by. */
export interface Document {
  paths: Record<string, Record<string, OperationObject>>
  components: {
    schemas: Record<string, Schema>
    responses: Record<string, Response>
    parameters: Record<string, Parameter>
    headers: Record<string, Header>
  }
}

export interface OperationObject {
  operationId: string
  parameters?: Array<Parameter | Reference>
  requestBody?: { content: Record<string, { schema: Schema }> }
  responses: Record<string, Response | Reference>
  security?: object[]
}

export interface Operation {
  id: string
  method: string
  path: string
  parameters: Parameter[]
  body?: Schema
  responses: Record<string, Response>
  hasToken: boolean
}

export interface Parameter {
  in: 'query' | 'header' | 'path'
  name: string
  style?: string
  schema: Schema
}
export interface Response {
  headers?: Record<string, Header | Reference>
  content?: Record<string, { schema: Schema }>
}
export interface Header {
  schema: Schema
}
interface Reference {
  $ref: string
}
export interface Schema {
  $ref?: string
  type?: string | string[]
  enum?: unknown[]
  examples?: unknown[]
  pattern?: string
  minLength?: number
  maxLength?: number
  minimum?: number
  maximum?: number
  minItems?: number
  maxItems?: number
  maxProperties?: number
  items?: Schema
  anyOf?: Schema[]
  properties?: Record<string, Schema>
  required?: string[]
  additionalProperties?: boolean | Schema
}

/** What a reference of the document stands for; anything else is itself. */
export function dereference<T extends object>(document: Document, value: T | Reference): T {
  if (!('$ref' in value) || typeof value.$ref !== 'string') return value as T
  const found = value.$ref
    .split('/')
    .slice(1)
    .reduce<unknown>((node, key) => (node as Record<string, unknown>)[key], document)
  return found as T
}

/** Every operation of the document, with its references resolved one level deep. */
export function operationsOf(document: Document): Operation[] {
  return Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => {
      const body = Object.values(operation.requestBody?.content ?? {})[0]?.schema
      return {
        id: operation.operationId,
        method: method.toUpperCase(),
        path,
        parameters: (operation.parameters ?? []).map((parameter) => dereference(document, parameter)),
        ...(body === undefined ? {} : { body }),
        responses: Object.fromEntries(
          Object.entries(operation.responses).map(([status, response]) => [
            status,
            dereference(document, response),
          ]),
        ),
        hasToken: (operation.security?.length ?? 0) > 0,
      }
    }),
  )
}
