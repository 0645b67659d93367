import type { PostFailure } from './post.ts'

export type DeliveryErrorCode = PostFailure | 'endpoint_off' | 'receiver_unknown' | 'internal'

/** A sentence for each reason why the last attempt of a delivery failed. Callers branch on the codes, so no code is removed. */
export const DELIVERY_FAILURES: Record<DeliveryErrorCode, string> = {
  address_refused:
    'The host has a private or reserved address. The operator allows such an address in WEBHOOK_ALLOWED_ADDRESSES.',
  host_unknown: 'The host of the address does not exist.',
  insecure_address: 'The address is plain http and is not listed in WEBHOOK_ALLOWED_ADDRESSES.',
  redirected: 'The receiver answered with a redirect, which is not followed.',
  gone: 'The receiver answered 410: it wants no more deliveries.',
  refused: 'The receiver answered with an error.',
  connection_failed: 'The receiver could not be reached, or broke the connection.',
  timed_out: 'The receiver did not answer within 15 seconds.',
  endpoint_off: 'The endpoint has answered 410 before and is switched off.',
  receiver_unknown: 'The receiver is not part of the configuration any more.',
  internal: 'The service could not make the delivery. Its log has the cause.',
}
