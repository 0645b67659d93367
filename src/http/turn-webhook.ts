import { invalidBody } from './validation/validation.ts'

/**
 * Makes the check of the `webhook` of requests.
 * @param allowedOrigins WEBHOOK_ALLOWED_ORIGINS
 * @throws Problem `invalid_request` when the address is of no such origin
 */
export function webhookCheck(allowedOrigins: readonly string[]) {
  return (webhook: { url: string } | undefined): void => {
    if (webhook === undefined) return
    const url = URL.canParse(webhook.url) ? new URL(webhook.url) : undefined
    const isPlain = url?.username === '' && url.password === ''
    // A `blob:` address has the origin of the address in it, and nobody can be called there.
    const isHttp = url?.protocol === 'https:' || url?.protocol === 'http:'
    if (url !== undefined && isHttp && isPlain && allowedOrigins.includes(url.origin)) return
    throw invalidBody([{ path: '/webhook/url', message: 'must be an address that the operator allows' }])
  }
}
