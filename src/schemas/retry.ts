import { Type } from '@sinclair/typebox'
import { Metadata } from './metadata.ts'
import { leftOutOrNull } from './shared.ts'
import { Context, IfBusy, Limits, ResponseFormat, TurnWebhook } from './turn.ts'

/** Body of a retry. A request without a body counts as one with an empty body. */
export const RetryBody = Type.Object(
  {
    ifBusy: leftOutOrNull(IfBusy),
    metadata: leftOutOrNull({
      ...Metadata,
      'x-name': undefined,
      description: 'Pairs of the new run; those of the repeated run when left out',
    } as typeof Metadata),
    context: leftOutOrNull(Context),
    limits: leftOutOrNull(Limits),
    responseFormat: leftOutOrNull(ResponseFormat),
    webhook: leftOutOrNull(TurnWebhook),
  },
  { $id: 'RetryBody', additionalProperties: false, description: 'The options of a retry', examples: [{}] },
)

export const ForkBody = Type.Object(
  {
    throughMessageId: leftOutOrNull(
      Type.String({
        pattern: '^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$',
        'x-fault': 'must be a UUID',
        description: 'Id of the last message that is copied; the whole conversation is when it is left out',
      }),
    ),
  },
  {
    additionalProperties: false,
    examples: [{}],
  },
)
