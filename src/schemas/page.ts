import { type TSchema, Type } from '@sinclair/typebox'

/** Query of every list. */
export const PageQuery = {
  limit: Type.Integer({
    minimum: 1,
    maximum: 100,
    default: 20,
    description: 'Maximum number of items on a page',
  }),
  cursor: Type.Optional(
    Type.String({
      minLength: 1,
      maxLength: 2048,
      description: '`nextCursor` of the page before, with the same filters',
    }),
  ),
}

/** Answer of every list; the document has it once, as `name`. */
export const pageOf = <Item extends TSchema>(item: Item, name: string, description: string) =>
  Type.Object(
    {
      data: Type.Array(item),
      nextCursor: Type.Unsafe<string | null>({
        type: ['string', 'null'],
        description: 'Pass it as `cursor`; null on the last page',
      }),
      hasMore: Type.Boolean({ description: 'Whether there is a next page' }),
    },
    { 'x-name': name, description },
  )
