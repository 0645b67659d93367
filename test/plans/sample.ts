import type pg from 'pg'

/** One call of a store, made several times, with what its statements may read at most. */
export interface Case {
  name: string
  /** Buffers of the call as a whole. */
  buffers: number
  work(round: number): Promise<unknown>
}

/** Rows of a page of twenty, and the one that says whether there are more. */
export const PAGE = 21
/** What a start, a poll and a page of a list may read. */
export const QUICK = 50
/** A start in a conversation reads up to fifty messages of history as well. */
export const NEXT_TURN = QUICK + 60
/** A page of runs that are looked at one by one: not all that the index names pass the other filters. */
export const SEARCH = 700
/** What one row of a batch may read and write, with its indexes. */
export const ROW = 60
export const BATCH = 100

export interface Sample {
  conversationId: string
  /** Conversations beside it, for calls that write. */
  others: string[]
  /** Conversations for edits, and the last runs of others, for retries. */
  edited: string[]
  lastRunIds: string[]
  runIds: string[]
  rowIds: string[]
  turnIds: string[]
  messageIds: string[]
}

/** A conversation of the user in the middle of all that the user has. */
export async function sampleOf(client: pg.Client, userId: string): Promise<Sample> {
  const { rows } = await client.query(
    `select id from conversations where user_id = $1 order by last_activity_at desc
     offset (select count(*) / 2 from conversations where user_id = $1) limit 60`,
    [userId],
  )
  const [{ id: conversationId }, ...others] = rows
  const { rows: last } = await client.query(
    'select run_id as "runId" from runs where position = 5 and conversation_id = any($1)',
    [others.slice(40).map(({ id }) => id)],
  )
  const { rows: runs } = await client.query(
    'select id, run_id, turn_id from runs where conversation_id = $1 order by id',
    [conversationId],
  )
  const { rows: messages } = await client.query(
    'select id from messages where conversation_id = $1 order by position, seq',
    [conversationId],
  )
  return {
    conversationId,
    others: others.slice(0, 20).map(({ id }) => id),
    edited: others.slice(20, 40).map(({ id }) => id),
    lastRunIds: last.map(({ runId }) => runId),
    runIds: runs.map((run) => run.run_id),
    rowIds: runs.map((run) => run.id),
    turnIds: runs.map((run) => run.turn_id),
    messageIds: messages.map((message) => message.id),
  }
}
