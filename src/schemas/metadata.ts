import { Type } from '@sinclair/typebox'
import { MAX_METADATA_PAIRS } from '../stores/schema.ts'

/** Any name; `patternProperties` would count its surrogates and drop names from answers that fit. */
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

/** The same as a merge patch: null removes a key, or all of them. All pairs may change at once. */
export const MetadataPatch = Type.Unsafe<Record<string, string | null> | null>({
  type: ['object', 'null'],
  ...names,
  additionalProperties: { type: ['string', 'null'], maxLength: 255 },
  maxProperties: 2 * MAX_METADATA_PAIRS,
  'x-name': 'MetadataPatch',
  description: 'Pairs to set; `null` removes a key, `null` as a whole removes all. 16 may be left',
})
