import { Type } from '@sinclair/typebox'
import { WEBHOOK_EVENTS } from '../webhooks/events.ts'
import { DELIVERY_FAILURES } from '../webhooks/failures.ts'
import { ConversationId, RunId } from './ids.ts'
import { oneOf } from './shared.ts'

const time = (description: string) => Type.String({ format: 'date-time', description })

export const DELIVERY_STATUSES = ['pending', 'delivered', 'failed'] as const

export const DeliveryStatus = oneOf(DELIVERY_STATUSES, {
  'x-name': 'WebhookDeliveryStatus',
  description:
    '`pending`: it is being sent, or waits for its next attempt. `delivered`: the receiver has answered 2xx. `failed`: it was given up',
})

export const WebhookEvent = oneOf(WEBHOOK_EVENTS, {
  'x-name': 'WebhookEvent',
  description: 'What has happened. More events may come',
})

export const DeliveryParams = Type.Object({
  id: Type.String({
    ...ConversationId,
    description: 'The `id` of a delivery, as the list shows it; it is the `webhook-id` too',
  }),
})

export const Delivery = Type.Object(
  {
    id: Type.String({ format: 'uuid', description: 'The `webhook-id` of every attempt' }),
    event: WebhookEvent,
    userId: Type.String({ description: 'The user whose run or conversation it is about' }),
    conversationId: Type.Optional(ConversationId),
    runId: Type.Optional(RunId),
    endpoint: Type.Optional(Type.String({ description: "Name of the operator's endpoint" })),
    url: Type.Optional(Type.String({ description: 'The address that the start has named' })),
    status: DeliveryStatus,
    attempts: Type.Integer({ description: 'Attempts so far, those before it was sent again included' }),
    createdAt: time('When the event happened'),
    lastAttemptAt: Type.Optional(time('When the last attempt began')),
    nextAttemptAt: Type.Optional(time('Pending: when it is sent next')),
    finishedAt: Type.Optional(time('When it was delivered or given up')),
    responseStatus: Type.Optional(Type.Integer({ description: 'Status of the last answer' })),
    errorCode: Type.Optional(
      oneOf(Object.keys(DELIVERY_FAILURES), {
        'x-name': 'WebhookErrorCode',
        description: 'Why the last attempt failed. More codes may come',
      }),
    ),
    error: Type.Optional(Type.String({ description: 'The same in a sentence' })),
  },
  { $id: 'WebhookDelivery', description: 'One event on its way to one receiver' },
)
