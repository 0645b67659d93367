import {
  type SchemaOptions,
  type Static,
  type TOptional,
  type TSchema,
  type TUnsafe,
  Type,
} from '@sinclair/typebox'

/** Most characters of a text in a body. */
export const MAX_TEXT = 100_000

/** Points to a schema that `app.addSchema` knows by its `$id`: `#/components/schemas/<$id>` in the document. */
export function ref<T extends TSchema>(schema: T): TUnsafe<Static<T>> {
  if (schema.$id === undefined) throw new TypeError('only a schema with $id can be referred to')
  return Type.Unsafe<Static<T>>({ $ref: `${schema.$id}#` })
}

/**
 * A field that a body may leave out. `null` counts as left out, because many typed clients send it for fields that
 * they do not set: the validator takes such a field out of the body, so handlers never see the `null`. The document
 * refers to a schema with a name (`x-name`) and adds the `null` beside it.
 */
export function leftOutOrNull<T extends TSchema>(schema: T): TOptional<TUnsafe<Static<T>>> {
  return Type.Optional(
    Type.Unsafe<Static<T>>({
      ...schema,
      type: [schema.type, 'null'],
      ...(schema.enum === undefined ? {} : { enum: [...schema.enum, null] }),
      'x-null-is-absent': true,
      ...('x-name' in schema ? { 'x-document': { anyOf: [schema, { type: 'null' }] } } : {}),
    }),
  )
}

/**
 * One of some strings, as one `enum` (a union of literals would become an `anyOf` of one-value enums). With
 * `x-name` the document has it once, under that name.
 */
export function oneOf<const Values extends readonly string[]>(
  values: Values,
  options: SchemaOptions = {},
): TUnsafe<Values[number]> {
  return Type.Unsafe<Values[number]>({ type: 'string', enum: [...values], ...options })
}
