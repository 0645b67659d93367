import { problem } from '../errors.ts'

/**
 * A position in the feed: the position of an event, or, with `id` 0, the position behind all events of transactions before
 * `xid`. `at` is the time of the event in ms since 1970. It tells whether the later events are still kept.
 */
export interface FeedPosition {
  xid: bigint
  id: bigint
  at: number
}

/** Compares two positions in the order of the feed. @returns a negative number, zero or a positive number */
export function compare(a: FeedPosition, b: FeedPosition): number {
  if (a.xid !== b.xid) return a.xid < b.xid ? -1 : 1
  if (a.id !== b.id) return a.id < b.id ? -1 : 1
  return 0
}

export const encodePosition = ({ xid, id, at }: FeedPosition): string => `${xid}-${id}-${at}`

const XID_MAX = 2n ** 64n - 1n
const ID_MAX = 2n ** 63n - 1n

/**
 * Reads the id of the event that a client has received last.
 * @throws Problem `invalid_stream_position` when the text is no such id
 */
export function decodePosition(text: string): FeedPosition {
  const [, xid = '', id = '', at = ''] = /^(\d{1,20})-(\d{1,19})-(\d{1,15})$/.exec(text) ?? []
  const position = { xid: BigInt(xid), id: BigInt(id), at: Number(at) }
  if (xid === '' || position.xid > XID_MAX || position.id > ID_MAX)
    throw problem('invalid_stream_position', {
      detail: 'Last-Event-ID must be the id of an event of this feed.',
    })
  return position
}
