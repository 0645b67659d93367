import type { FeedEvent } from '../stores/feed.ts'
import { encodePosition, type FeedPosition } from './position.ts'

/** An event of the feed, serialized once for all its viewers. */
export interface FeedFrame {
  position: FeedPosition
  userId: string
  conversationId: string | null
  /** Whether this is the last event in the feed of its conversation. */
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

/** The first event of a new viewer. With its id the viewer resumes the feed after a cut. */
export const openedFrame = (position: FeedPosition): Buffer =>
  serialized(position, { type: 'feed.opened', timestamp: new Date(position.at).toISOString(), data: {} })

/** An id without data. Clients store the id and dispatch no event, so a feed without events can be resumed too. */
export const positionFrame = (position: FeedPosition): Buffer =>
  Buffer.from(`: ping\nid: ${encodePosition(position)}\n\n`)

const serialized = (position: FeedPosition, body: object): Buffer =>
  Buffer.from(`id: ${encodePosition(position)}\ndata: ${JSON.stringify(body)}\n\n`)
