import { Type } from '@sinclair/typebox'
import { MAX_METADATA_PAIRS } from '../stores/schema.ts'

/** Schema of names. `patternProperties` would count surrogates one by one, and drop valid names from answers. */
const names = { propertyNames: { type: 'string', minLength: 1, maxLength: 255 } }

/** At most 16 pairs of strings of at most 255 characters. */
export const Metadata = Type.Unsafe<Record<string, string>>({
  type: 'object',
  ...names,
  additionalProperties: { type: 'string', maxLength: 255 },
  maxProperties: MAX_METADATA_PAIRS,
  'x-name': 'Metadata',
  description: 'Up to 16 pairs of strings of your own, for example `{"ticket": "T-1042"}`; returned as sent',
})

/** Metadata as a merge patch: null as a value removes its key, null as a whole removes all pairs. */
export const MetadataPatch = Type.Unsafe<Record<string, string | null> | null>({
  type: ['object', 'null'],
  ...names,
  additionalProperties: { type: ['string', 'null'], maxLength: 255 },
  maxProperties: 2 * MAX_METADATA_PAIRS,
  'x-name': 'MetadataPatch',
  description:
    'Pairs to set; `null` removes a key, `null` as a whole removes all pairs. At most 16 pairs may remain',
})
