import { type Static, Type } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import { WEBHOOK_EVENTS, type WebhookEndpoint } from '../webhooks/events.ts'
import { isNetwork } from '../webhooks/networks.ts'
import { isWebhookSecret } from '../webhooks/signature.ts'
import type { Settings } from './settings.ts'
import { list } from './values.ts'

export interface WebhookConfig {
  endpoints: WebhookEndpoint[]
  /** Secrets that sign the webhooks of starts, the newest first. */
  secrets: string[]
  /** Origins that the webhooks of starts may have. */
  allowedOrigins: string[]
  /** Networks and addresses to which the service may connect although they are not public. */
  allowedAddresses: string[]
  /** Seconds before each retry; the schedule of Standard Webhooks when absent. */
  retrySeconds?: number[]
}

const Endpoints = Type.Array(
  Type.Object(
    {
      name: Type.String({ pattern: '^[a-z0-9][a-z0-9_-]{0,62}$' }),
      url: Type.String({ maxLength: 2_048 }),
      secrets: Type.Array(Type.String(), { minItems: 1, maxItems: 5 }),
      events: Type.Optional(
        Type.Array(Type.Union(WEBHOOK_EVENTS.map((event) => Type.Literal(event))), { minItems: 1 }),
      ),
      users: Type.Optional(
        Type.Array(Type.String({ minLength: 1, maxLength: 255 }), { minItems: 1, maxItems: 1_000 }),
      ),
      contents: Type.Optional(Type.Boolean()),
    },
    { additionalProperties: false },
  ),
  { maxItems: 50 },
)

export function webhookConfig(settings: Settings): WebhookConfig {
  const endpoints = (parsed(settings.WEBHOOK_ENDPOINTS) ?? []) as Static<typeof Endpoints>
  return {
    endpoints: endpoints.map(({ events = [...WEBHOOK_EVENTS], contents = false, ...endpoint }) => ({
      ...endpoint,
      events,
      contents,
    })),
    secrets: list(settings.WEBHOOK_SECRETS),
    allowedOrigins: list(settings.WEBHOOK_ALLOWED_ORIGINS),
    allowedAddresses: list(settings.WEBHOOK_ALLOWED_ADDRESSES),
  }
}

/** Faults of the settings of webhooks. A fault names an endpoint by its place and never shows a value. */
export function webhookFaults(settings: Settings): string[] {
  const { WEBHOOK_SECRETS, WEBHOOK_ALLOWED_ORIGINS, WEBHOOK_ALLOWED_ADDRESSES } = settings
  const faults: string[] = []
  const origins = list(WEBHOOK_ALLOWED_ORIGINS)
  const mayBePlain = list(WEBHOOK_ALLOWED_ADDRESSES).length > 0
  if (!list(WEBHOOK_ALLOWED_ADDRESSES).every(isNetwork))
    faults.push('WEBHOOK_ALLOWED_ADDRESSES: must be addresses and networks, such as 10.0.0.0/8')
  if (!list(WEBHOOK_SECRETS).every(isWebhookSecret)) faults.push(`WEBHOOK_SECRETS: ${SECRET_FAULT}`)
  if (!origins.every((origin) => isTarget(origin, mayBePlain) && new URL(origin).origin === origin))
    faults.push(`WEBHOOK_ALLOWED_ORIGINS: must be origins such as https://hooks.example.com${PLAIN_FAULT}`)
  if (origins.length > 0 && list(WEBHOOK_SECRETS).length === 0 && settings.WEBHOOK_SECRETS_FILE === undefined)
    faults.push('WEBHOOK_SECRETS: is required with WEBHOOK_ALLOWED_ORIGINS')
  return [...faults, ...endpointFaults(settings, mayBePlain).map((fault) => `WEBHOOK_ENDPOINTS: ${fault}`)]
}

function endpointFaults({ WEBHOOK_ENDPOINTS }: Settings, mayBePlain: boolean): string[] {
  if (WEBHOOK_ENDPOINTS === undefined) return []
  const endpoints = parsed(WEBHOOK_ENDPOINTS)
  if (endpoints === undefined) return ['must be a JSON array of endpoints']
  const first = Value.Errors(Endpoints, endpoints).First()
  if (first !== undefined) return [`${first.path || 'the array'}: ${first.message.toLowerCase()}`]
  const known = endpoints as Static<typeof Endpoints>
  const faults = known.flatMap(({ url, secrets }, at) => [
    ...(isTarget(url, mayBePlain)
      ? []
      : [`/${at}/url: must be a https address without a user${PLAIN_FAULT}`]),
    ...(secrets.every(isWebhookSecret) ? [] : [`/${at}/secrets: ${SECRET_FAULT}`]),
  ])
  if (new Set(known.map(({ name }) => name)).size < known.length)
    faults.push('two endpoints have the same name')
  return faults
}

const SECRET_FAULT = 'every secret must be whsec_ and 24 to 64 bytes in base64'
const PLAIN_FAULT = '; http needs WEBHOOK_ALLOWED_ADDRESSES'

function isTarget(text: string, mayBePlain: boolean): boolean {
  if (!URL.canParse(text)) return false
  const { protocol, username, password, hash } = new URL(text)
  const isPlain = protocol === 'http:' && mayBePlain
  return (protocol === 'https:' || isPlain) && username === '' && password === '' && hash === ''
}

function parsed(text: string | undefined): unknown {
  try {
    return text === undefined ? undefined : JSON.parse(text)
  } catch {
    return undefined
  }
}
