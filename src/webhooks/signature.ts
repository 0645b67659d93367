import { Webhook } from 'standardwebhooks'

/** The headers of Standard Webhooks: one signature for each secret, so that receivers can rotate their secrets. */
export function signedHeaders(
  secrets: readonly string[],
  { id, body, now = new Date() }: { id: string; body: string; now?: Date },
): Record<string, string> {
  return {
    'webhook-id': id,
    'webhook-timestamp': String(Math.floor(now.getTime() / 1000)),
    'webhook-signature': secrets.map((secret) => new Webhook(secret).sign(id, now, body)).join(' '),
  }
}

const KEY_BYTES = { least: 24, most: 64 }

/** Whether a text is a secret of Standard Webhooks: `whsec_` and 24 to 64 bytes in base64. */
export function isWebhookSecret(text: string): boolean {
  const [, encoded] = /^whsec_([A-Za-z0-9+/]+={0,2})$/.exec(text) ?? []
  if (encoded === undefined || encoded.length % 4 !== 0) return false
  const { length } = Buffer.from(encoded, 'base64')
  return length >= KEY_BYTES.least && length <= KEY_BYTES.most
}
