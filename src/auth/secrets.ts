import { createHmac, timingSafeEqual } from 'node:crypto'

/**
 * Picks the secret that signed a token, so that several secrets can be valid during a rotation. The verifier checks the
 * signature again. When no secret fits, the first one is returned, and the verifier refuses the token.
 */
export function secretFor(secrets: readonly string[], token: string): string {
  const [current = ''] = secrets
  if (secrets.length === 1) return current
  const end = token.lastIndexOf('.')
  const given = Buffer.from(token.slice(end + 1), 'base64url')
  return secrets.find((secret) => isSignedWith(secret, token.slice(0, end), given)) ?? current
}

function isSignedWith(secret: string, input: string, signature: Buffer): boolean {
  const expected = createHmac('sha256', secret).update(input).digest()
  return expected.length === signature.length && timingSafeEqual(expected, signature)
}
