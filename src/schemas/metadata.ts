import { Type } from '@sinclair/typebox'
import { MAX_METADATA_PAIRS } from '../stores/schema.ts'

const key = '^[\\s\\S]{1,255}$'

/** At most 16 pairs of strings of at most 255 characters. */
export const Metadata = Type.Unsafe<Record<string, string>>(
  Type.Record(Type.String({ pattern: key }), Type.String({ maxLength: 255 }), {
    maxProperties: MAX_METADATA_PAIRS,
    additionalProperties: false,
    description: 'Up to 16 pairs of strings of your own; returned as sent',
    examples: [{ ticket: 'T-1042' }],
  }),
)

/** The same as a merge patch: null removes a key, or all of them. */
export const MetadataPatch = Type.Unsafe<Record<string, string | null> | null>({
  type: ['object', 'null'],
  patternProperties: { [key]: { type: ['string', 'null'], maxLength: 255 } },
  additionalProperties: false,
  maxProperties: MAX_METADATA_PAIRS,
  description: 'Pairs to set; `null` removes a key, `null` as a whole removes all',
})
