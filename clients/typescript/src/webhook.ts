import { AgentChatError, clientProblem } from './errors.ts'
import type { EndedRun, WebhookEventType } from './types.ts'

/** What a webhook reports. More types may come: answer 2xx to those that you do not know. */
export interface WebhookEvent {
  type: WebhookEventType
  /** When it happened. */
  timestamp: string
  data: { userId: string; conversationId?: string; runId?: string; status?: EndedRun['status'] } & Partial<
    Pick<EndedRun, 'finishedAt' | 'metadata' | 'model' | 'steps' | 'usage'>
  > & { [field: string]: unknown }
}

export interface WebhookOptions {
  /** Seconds that the delivery may be older or newer than this machine's clock (300). */
  toleranceSeconds?: number
}

type Given = Headers | Record<string, string | string[] | undefined>

/**
 * The event of a delivery, once its signature is verified (Standard Webhooks). Rejects with `invalid_webhook` when it
 * was not signed with one of the secrets, or not now.
 *
 * @param body the body as it came: a parser that changes one byte breaks the signature
 * @param secrets `whsec_…`, one or several while a secret is replaced
 */
export async function verifyWebhook(
  body: string | Uint8Array,
  headers: Given,
  secrets: string | string[],
  { toleranceSeconds = 300 }: WebhookOptions = {},
): Promise<WebhookEvent> {
  const text = typeof body === 'string' ? body : new TextDecoder().decode(body)
  const id = headerOf(headers, 'webhook-id')
  const timestamp = headerOf(headers, 'webhook-timestamp')
  const signatures = headerOf(headers, 'webhook-signature')
    .split(' ')
    .flatMap((one) => (one.startsWith('v1,') ? [bytesOf(one.slice(3))] : []))
  if (id === '' || signatures.length === 0) throw refused('The headers of a webhook are missing.')
  const age = Math.abs(Date.now() / 1_000 - Number(timestamp))
  if (!/^\d+$/.test(timestamp) || age > toleranceSeconds) throw refused('The webhook was not sent now.')
  const signed = new TextEncoder().encode(`${id}.${timestamp}.${text}`)
  for (const secret of [secrets].flat()) {
    const key = await keyOf(secret)
    for (const signature of signatures)
      if (signature !== undefined && (await crypto.subtle.verify('HMAC', key, signature, signed)))
        return JSON.parse(text) as WebhookEvent
  }
  throw refused('The webhook was not signed with this secret.')
}

const refused = (detail: string) =>
  new AgentChatError(clientProblem('invalid_webhook', detail), { attempts: 1 })

function keyOf(secret: string) {
  const bytes = bytesOf(secret.replace(/^whsec_/, ''))
  if (bytes === undefined || bytes.length === 0) throw new TypeError('a secret is whsec_ and Base64')
  return crypto.subtle.importKey('raw', bytes, { name: 'HMAC', hash: 'SHA-256' }, false, ['verify'])
}

function headerOf(headers: Given, name: string): string {
  if (headers instanceof Headers) return headers.get(name) ?? ''
  const entry = Object.entries(headers).find(([key]) => key.toLowerCase() === name)
  return [entry?.[1] ?? ''].flat()[0] ?? ''
}

function bytesOf(base64: string): Uint8Array<ArrayBuffer> | undefined {
  try {
    return Uint8Array.from(atob(base64), (character) => character.charCodeAt(0))
  } catch {
    return undefined
  }
}
