import { createHash } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { ClaimedDelivery, DeliveryLag, DeliveryResult, NamedReceiver } from '../../stores/deliveries.ts'
import type { WebhookEndpoint } from '../../webhooks/events.ts'
import type { Poster, PostResult } from '../../webhooks/post.ts'
import { signedHeaders } from '../../webhooks/signature.ts'
import type { ServiceContext } from '../context.ts'
import { deliveryBody } from './payload.ts'
import { retryDelay } from './retry-delay.ts'
import { wakeableSleep } from './wakeable-sleep.ts'

export interface WebhookSettings {
  endpoints: readonly WebhookEndpoint[]
  /** Origins that the `webhook` of a start may have, and the secrets that sign these webhooks. */
  allowedOrigins: readonly string[]
  secrets: readonly string[]
  /** Seconds before each retry; the schedule of Standard Webhooks when absent. */
  retrySeconds?: readonly number[]
  /** Pause between two claims of due deliveries; a second when absent. */
  tickMs?: number
}

export interface Deliverer {
  /**
   * Sends due deliveries until `signal` aborts. It then waits for the deliveries that are being sent, and stores their
   * results. Without a receiver in the configuration it sends nothing.
   */
  run(signal: AbortSignal): Promise<void>
  /** How late the deliveries are, read every five seconds; undefined while that is unknown. */
  lag(): DeliveryLag | undefined
  /** Claims due deliveries at once, because an instance has written some. */
  wake(): void
}

/** One receiver of deliveries: an endpoint, or an origin that starts may name. */
interface Receiver extends NamedReceiver {
  /** Undefined for an origin: each delivery names its address. */
  url?: string
  secrets: readonly string[]
  contents: boolean
  /** Deliveries that are being sent now. */
  sending: number
  /** Moment (`performance.now()`) until which the receiver has asked not to be called. */
  pausedUntil: number
}

const TICK_MS = 1_000
const SYNC_MS = 60_000
const LAG_MS = 5_000
/** Deliveries that an instance sends to one receiver at the same time. A slow receiver occupies no more. */
const LANES = 8
const BATCH = 500
/** The longest time for which one `Retry-After` holds back all deliveries to a receiver. */
const LONGEST_PAUSE_SECONDS = 300

/** Why a delivery is not sent. */
type Unsent = 'endpoint_off' | 'receiver_unknown'
/** The result of an attempt that failed by a fault of this service. It counts as a refused attempt. */
type Unmade = { isDelivered: false; errorCode: 'internal'; status?: never; retryAfter?: never }

/** Sends the deliveries of all instances: each instance claims what is due, with room for every receiver. */
export function deliverer(
  { stores, log }: Pick<ServiceContext, 'stores' | 'log'>,
  post: Poster,
  settings: WebhookSettings,
): Deliverer {
  const { deliveries } = stores
  const receivers = new Map(receiversOf(settings).map((receiver) => [receiver.name, receiver]))
  const alarm = wakeableSleep()
  let lag: DeliveryLag | undefined
  const underway = new Set<Promise<void>>()

  async function attempt(delivery: ClaimedDelivery, receiver: Receiver): Promise<PostResult | Unsent> {
    const url = receiver.url ?? delivery.url
    // The start has checked this origin. It is compared again, so that a changed row leads to no other origin.
    if (url === null || (receiver.url === undefined && originOf(url) !== receiver.name))
      return 'receiver_unknown'
    if (delivery.isOff && !delivery.forced) return 'endpoint_off'
    const body = deliveryBody(delivery, receiver.contents)
    const headers = {
      'content-type': 'application/json',
      'user-agent': 'agent-chat-service',
      ...signedHeaders(receiver.secrets, { id: delivery.id, body }),
    }
    return post({ receiver: receiver.url === undefined ? 'start' : receiver.name, url, headers, body })
  }

  async function deliver(delivery: ClaimedDelivery, receiver: Receiver): Promise<void> {
    const result = await attempt(delivery, receiver).catch((error: unknown): Unmade => {
      log.error({ err: error, deliveryId: delivery.id }, 'the deliverer could not make the body of a webhook')
      return { isDelivered: false, errorCode: 'internal' }
    })
    if (typeof result !== 'string') await note(result, delivery, receiver)
    const stored = resultOf(result, delivery.attempts - delivery.attemptsBefore, settings.retrySeconds)
    await deliveries.finish(delivery, stored)
    const { id, target, event, runId, attempts } = delivery
    const facts = { deliveryId: id, target, event, runId, attempts, ...stored }
    if (stored.status === 'failed') log.warn(facts, 'a webhook was given up')
    else if (stored.status === 'pending') log.warn(facts, 'a webhook was not accepted and is tried again')
  }

  /** Acts on an answer that concerns the whole receiver: a pause, or the end of its endpoint. */
  async function note(
    result: PostResult | Unmade,
    { forced }: ClaimedDelivery,
    receiver: Receiver,
  ): Promise<void> {
    if ('retryAfter' in result && result.retryAfter !== undefined)
      receiver.pausedUntil = performance.now() + Math.min(result.retryAfter, LONGEST_PAUSE_SECONDS) * 1000
    if (receiver.url === undefined) return
    if (result.isDelivered) {
      if (forced) await deliveries.switchEndpoint(receiver, false)
    } else if (result.errorCode === 'gone') {
      await deliveries.switchEndpoint(receiver, true)
      log.error({ target: receiver.name }, 'a webhook endpoint answered 410 and was switched off')
    }
  }

  async function send(delivery: ClaimedDelivery, receiver: Receiver): Promise<void> {
    receiver.sending += 1
    try {
      await deliver(delivery, receiver)
    } catch (error) {
      // The delivery is due again at the end of its claim.
      log.warn({ err: error, deliveryId: delivery.id }, 'the result of a webhook could not be stored')
    } finally {
      receiver.sending -= 1
      // Further deliveries may be due to this receiver, which had no free lane.
      if (receiver.sending === LANES - 1) alarm.wake()
    }
  }

  async function round(): Promise<void> {
    const now = performance.now()
    const free = [...receivers.values()]
      .filter(({ sending, pausedUntil }) => sending < LANES && pausedUntil <= now)
      .map(({ name, digest, contents, sending }) => ({
        target: name,
        digest,
        contents,
        room: LANES - sending,
      }))
    if (free.length === 0) return
    for (const delivery of await deliveries.claim(free)) {
      const receiver = receivers.get(delivery.target)
      if (receiver === undefined) continue
      const sending = send(delivery, receiver).finally(() => underway.delete(sending))
      underway.add(sending)
    }
  }

  async function keep(signal: AbortSignal, ms: number, what: string, work: () => Promise<unknown>) {
    while (!signal.aborted) {
      const isDone = await work().then(
        () => true,
        (error: unknown) => {
          log.warn({ err: error }, `${what} failed and is tried again`)
          return false
        },
      )
      await sleep(isDone ? ms : TICK_MS, undefined, { signal }).catch(() => {})
    }
  }

  async function tick(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await round().catch((error: unknown) => log.warn({ err: error }, 'claiming due webhooks failed'))
      await alarm.sleep(settings.tickMs ?? TICK_MS, signal)
    }
  }

  const named = [...receivers.values()].map(({ name, settings, events, users, digest }) => ({
    ...{ name, settings, events, users, digest },
  }))
  const sync = async () => {
    const changed = await deliveries.nameReceivers(named)
    if (changed.length > 0) log.info({ targets: changed }, 'the stored receivers of webhooks were changed')
    await deliveries.failUnclaimed(BATCH)
  }

  const measure = async () => {
    lag = undefined // When the measuring fails, metrics must not show the old value.
    lag = await deliveries.lag()
  }

  return {
    async run(signal) {
      const syncing = keep(signal, SYNC_MS, 'storing the webhook endpoints', sync)
      if (receivers.size === 0) return syncing
      const measuring = keep(signal, LAG_MS, 'measuring how late the webhooks are', measure)
      await Promise.all([syncing, measuring, tick(signal)])
      await Promise.all(underway)
    },
    lag: () => lag,
    wake: alarm.wake,
  }
}

function receiversOf({ endpoints, allowedOrigins, secrets }: WebhookSettings): Receiver[] {
  const idle = { sending: 0, pausedUntil: 0 }
  return [
    ...endpoints.map(({ name, url, secrets, contents, events, users = null }) => ({
      ...{ name, url, secrets, contents, events, users, ...idle },
      digest: digestOf(url),
      settings: digestOf(JSON.stringify([url, events, users])),
    })),
    ...allowedOrigins.map((origin) => ({
      ...{ name: origin, secrets, contents: false, events: [], users: null, ...idle },
      ...{ digest: '', settings: '' },
    })),
  ]
}

function resultOf(
  result: PostResult | Unmade | Unsent,
  attempts: number,
  schedule: readonly number[] | undefined,
): DeliveryResult {
  if (typeof result === 'string')
    return { status: 'failed', errorCode: result, responseStatus: null, dueInSeconds: null }
  const { status: responseStatus = null } = result
  if (result.isDelivered) return { status: 'delivered', errorCode: null, responseStatus, dueInSeconds: null }
  const { errorCode, retryAfter } = result
  const delay = errorCode === 'gone' ? undefined : retryDelay(attempts, retryAfter, schedule)
  return delay === undefined
    ? { status: 'failed', errorCode, responseStatus, dueInSeconds: null }
    : { status: 'pending', errorCode, responseStatus, dueInSeconds: delay }
}

const originOf = (url: string) => (URL.canParse(url) ? new URL(url).origin : undefined)
/** An address may hold a secret, so the database gets its digest. */
const digestOf = (text: string) => createHash('sha256').update(text).digest('hex')
