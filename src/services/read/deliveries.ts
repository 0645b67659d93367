import type { Caller } from '../../caller.ts'
import { problem } from '../../errors.ts'
import type { DeliveryRecord, DeliveryStatus } from '../../stores/delivery-list.ts'
import type { WebhookEvent } from '../../webhooks/events.ts'
import { DELIVERY_FAILURES, type DeliveryErrorCode } from '../../webhooks/failures.ts'
import type { ServiceContext } from '../context.ts'
import { decodeCursor, type Page, pageOf } from './pagination.ts'

export interface DeliveryQuery {
  runId?: string
  status?: DeliveryStatus
  limit: number
  cursor?: string
}

export interface DeliveryView {
  id: string
  event: WebhookEvent
  userId: string
  conversationId?: string
  runId?: string
  /** Name of an endpoint of the operator; absent for the address of a start. */
  endpoint?: string
  /** The address that the start has named. */
  url?: string
  status: DeliveryStatus
  attempts: number
  createdAt: string
  lastAttemptAt?: string
  /** Set while the delivery is pending. */
  nextAttemptAt?: string
  finishedAt?: string
  responseStatus?: number
  errorCode?: string
  error?: string
}

export interface DeliveryService {
  /** The deliveries of the user, newest first. A caller with `agent:admin` gets the deliveries of all users. */
  list(caller: Caller, query: DeliveryQuery): Promise<Page<DeliveryView>>
  /** Makes a delivery due again, with a new series of attempts. @throws Problem `delivery_not_found` */
  redeliver(caller: Caller, id: string): Promise<DeliveryView>
}

export function deliveryService({
  stores: { deliveryList },
}: Pick<ServiceContext, 'stores'>): DeliveryService {
  return {
    async list(caller, { cursor, limit, ...filters }) {
      const user = userOf(caller)
      const bound = ['deliveries', filters]
      const [before] = decodeCursor(cursor, bound) ?? []
      const { rows, searchedTo } = await deliveryList.list(user, {
        ...filters,
        limit: limit + 1,
        ...(before === undefined ? {} : { before }),
      })
      return pageOf(rows, limit, bound, {
        item: view,
        key: (row) => [row.id],
        ...(searchedTo === undefined ? {} : { end: [searchedTo] }),
      })
    },

    async redeliver(caller, id) {
      const delivery = await deliveryList.redeliver(userOf(caller), id)
      if (delivery === undefined) throw problem('delivery_not_found')
      return view(delivery)
    },
  }
}

/** Null stands for all users. */
const userOf = ({ userId, scopes = [] }: Caller) => (scopes.includes('agent:admin') ? null : userId)

function view(row: DeliveryRecord): DeliveryView {
  const { id, event, userId, conversationId, runId, target, url, status, attempts } = row
  const { createdAt, attemptedAt, dueAt, finishedAt, responseStatus, errorCode } = row
  return {
    id,
    event,
    userId,
    ...(conversationId === null ? {} : { conversationId }),
    ...(runId === null ? {} : { runId }),
    ...(url === null ? { endpoint: target } : { url }),
    status,
    attempts,
    createdAt: createdAt.toISOString(),
    ...(attemptedAt === null ? {} : { lastAttemptAt: attemptedAt.toISOString() }),
    ...(dueAt === null ? {} : { nextAttemptAt: dueAt.toISOString() }),
    ...(finishedAt === null ? {} : { finishedAt: finishedAt.toISOString() }),
    ...(responseStatus === null ? {} : { responseStatus }),
    ...(errorCode === null
      ? {}
      : { errorCode, error: DELIVERY_FAILURES[errorCode as DeliveryErrorCode] ?? errorCode }),
  }
}
