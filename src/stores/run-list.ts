import { type RawBuilder, sql } from 'kysely'
import type { PublicStatus } from '../engine/run-status.ts'
import type { Database } from './database.ts'
import { type RunSummaryRecord, SUMMARY, VISIBLE } from './runs.ts'
import type { Metadata } from './schema.ts'

export interface RunFilter {
  conversationId?: string
  status?: PublicStatus[]
  metadata?: Metadata
  runIds?: string[]
  limit: number
  /** Row id of the last run of the page before. */
  before?: string
}

export interface RunListPage {
  rows: RunSummaryRecord[]
  /** Where the search went on being fruitless and stopped: the next page begins behind this row. */
  searchedTo?: string
}

/** Rows that one page looks through at most for those that every filter lets pass. */
const SEARCHED = 2_000

/**
 * Lists runs of one user, newest first, without contents. The most telling filter names the index that is walked in the
 * direction of the cursor; the other filters are applied to at most 2,000 of its rows. So a page costs the same however
 * many runs the user has; a page that ends early says where the next one begins.
 */
export async function listRuns(database: Database, userId: string, filter: RunFilter): Promise<RunListPage> {
  const { conversationId, status, metadata = {}, runIds, limit } = filter
  const statuses = [...new Set(status ?? [])]
  const [label, ...labels] = Object.entries(metadata)
  const before = filter.before === undefined ? sql`` : sql`and id < ${filter.before}::uuid`
  const own = sql`user_id = ${userId} and ${sql.raw(VISIBLE)}`
  const ofConversation =
    conversationId === undefined ? sql`` : sql`and conversation_id = ${conversationId}::uuid`
  const ofStatus = statuses.length === 0 ? sql`` : sql`and status = any(${statuses}::text[])`
  const ofMetadata = label === undefined ? sql`` : sql`and metadata @> ${JSON.stringify(metadata)}::jsonb`

  /** Rows in the order of an index, of which every one belongs to the page. */
  const page = async (source: RawBuilder<unknown>): Promise<RunListPage> => {
    const { rows } = await database.run((db) =>
      sql<RunSummaryRecord>`select ${sql.raw(SUMMARY)} from ${source} runs order by id desc limit ${limit}`.execute(
        db,
      ),
    )
    return { rows }
  }
  /** Rows in the order of an index, some of which the other filters leave out. */
  const search = async (candidates: RawBuilder<unknown>): Promise<RunListPage> => {
    const { rows } = await database.run((db) =>
      sql<RunSummaryRecord & { last: string | null; searched: number }>`
        with candidates as materialized (${candidates} ${before} order by id desc limit ${SEARCHED}),
        matching as (
          select runs.* from candidates join runs on runs.id = candidates.id
          where ${own} ${ofConversation} ${ofStatus} ${ofMetadata} order by runs.id desc limit ${limit})
        select ${sql.raw(SUMMARY)}, extent.last, extent.searched
        from (select min(id::text) as last, count(*)::integer as searched from candidates) extent
        left join matching on true order by id desc`.execute(db),
    )
    const [first] = rows
    const matching = rows
      .filter(({ id }) => id !== null)
      .map(({ last: _last, searched: _searched, ...row }) => row)
    const isFruitless = first?.searched === SEARCHED && first.last !== null && matching.length < limit
    return { rows: matching, ...(isFruitless && first.last !== null ? { searchedTo: first.last } : {}) }
  }

  if (runIds !== undefined)
    return page(sql`(select * from runs where run_id = any(${runIds}::text[]) and ${own} ${ofConversation} ${ofStatus}
      ${ofMetadata} ${before})`)
  if (label !== undefined) {
    const candidates = sql`select id from run_labels where label = run_label(${userId}, ${label[0]}, ${label[1]})`
    return search(candidates)
  }
  if (conversationId !== undefined) {
    const candidates = sql`select id from runs where conversation_id = ${conversationId}::uuid and user_id = ${userId}`
    return statuses.length === 0 && labels.length === 0
      ? page(
          sql`(select * from runs where ${own} ${ofConversation} ${before} order by id desc limit ${limit})`,
        )
      : search(candidates)
  }
  if (statuses.length === 0)
    return page(sql`(select * from runs where ${own} ${before} order by id desc limit ${limit})`)
  const branches = statuses.map(
    (one) =>
      sql`(select * from runs where ${own} and status = ${one} ${before} order by id desc limit ${limit})`,
  )
  return page(sql`(${sql.join(branches, sql` union all `)})`)
}
