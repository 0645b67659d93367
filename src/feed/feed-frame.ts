import type { FeedEvent } from '../stores/feed.ts'
import { encodePosition, type FeedPosition } from './position.ts'

/** An event of the feed, serialized once for all its viewers. */
export interface FeedFrame {
  position: FeedPosition
  userId: string
  conversationId: string | null
  /** Nothing follows in the feed of the conversation. */
  isLast: boolean
  wire: Buffer
}

export function feedFrame({ position, type, userId, conversationId, data }: FeedEvent): FeedFrame {
  const body = {
    type,
    timestamp: new Date(position.at).toISOString(),
    data: { ...(conversationId === null ? {} : { conversationId }), ...data },
  }
  const wire = serialized(position, body)
  return { position, userId, conversationId, isLast: type === 'conversation.deleted', wire }
}

/** The first event of a viewer that begins now: its id is where the feed goes on after a cut. */
export const openedFrame = (position: FeedPosition): Buffer =>
  serialized(position, { type: 'feed.opened', timestamp: new Date(position.at).toISOString(), data: {} })

/** An id without data: clients note it, and dispatch no event. A feed that is silent for long can be resumed too. */
export const positionFrame = (position: FeedPosition): Buffer =>
  Buffer.from(`: ping\nid: ${encodePosition(position)}\n\n`)

const serialized = (position: FeedPosition, body: object): Buffer =>
  Buffer.from(`id: ${encodePosition(position)}\ndata: ${JSON.stringify(body)}\n\n`)
