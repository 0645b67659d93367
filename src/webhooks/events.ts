/** The events that webhooks report. `run.action_required` follows `run.completed` when the turn waits for answers to its actions. */
export const WEBHOOK_EVENTS = [
  'run.completed',
  'run.failed',
  'run.cancelled',
  'run.action_required',
  'conversation.deleted',
] as const
export type WebhookEvent = (typeof WEBHOOK_EVENTS)[number]

/** An endpoint of the configuration (WEBHOOK_ENDPOINTS). */
export interface WebhookEndpoint {
  name: string
  url: string
  /** Secrets of Standard Webhooks, `whsec_…`. Every delivery has one signature for each secret. */
  secrets: string[]
  events: WebhookEvent[]
  /** The users whose events the endpoint gets. Undefined: the endpoint gets the events of all users. */
  users?: string[]
  /** Whether deliveries carry the text of the answer. */
  contents: boolean
}

/** The address that a start has named. `origin` is one of WEBHOOK_ALLOWED_ORIGINS. */
export interface TurnWebhook {
  url: string
  origin: string
}
