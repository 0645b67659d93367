import { type RawBuilder, sql } from 'kysely'
import { DEFAULT_AGENT } from '../agent/turn.ts'
import type { PublicStatus } from '../engine/run-status.ts'
import type { Database } from './database.ts'
import { type RunSummaryRecord, SUMMARY, VISIBLE } from './runs.ts'
import type { Metadata } from './schema.ts'

export interface RunFilter {
  conversationId?: string
  status?: PublicStatus[]
  metadata?: Metadata
  runIds?: string[]
  /** Only runs whose turns wait for answers to their actions. */
  pending?: boolean
  agent?: string
  limit: number
  /** Row id of the last run of the page before. */
  before?: string
}

export interface RunListPage {
  rows: RunSummaryRecord[]
  /** The row at which the search stopped before the page was full: the next page begins after it. */
  searchedTo?: string
}

/** The most rows of the index that one page compares with the filters. */
const SEARCHED = 500

/**
 * Lists runs of one user, newest first, without contents. The most selective filter chooses the index, which is walked in
 * the direction of the cursor. The other filters are applied to at most 500 of its rows. So a page costs the same for
 * every number of runs. A page that ends early says where the next page begins.
 *
 * The inner query reads only the ids of rows, which all of these indexes hold. If it read whole rows, Postgres might walk
 * the newest rows of all users instead. For a user without recent runs these are millions.
 */
export async function listRuns(database: Database, userId: string, filter: RunFilter): Promise<RunListPage> {
  const { conversationId, status, metadata = {}, runIds, agent, pending, limit } = filter
  const statuses = [...new Set(status ?? [])]
  const [label] = Object.entries(metadata)
  const ofConversation =
    conversationId === undefined ? sql`` : sql`and conversation_id = ${conversationId}::uuid`
  const ofRuns = runIds === undefined ? sql`` : sql`and run_id = any(${runIds}::text[])`
  const ofStatus = statuses.length === 0 ? sql`` : sql`and status = any(${statuses}::text[])`
  const ofMetadata = label === undefined ? sql`` : sql`and metadata @> ${JSON.stringify(metadata)}::jsonb`
  const ofAgent = agent === undefined ? sql`` : sql`and agent = ${agent}`
  // The runs of `default` have no label: they are found among all runs of the user.
  const agentLabel = agent === DEFAULT_AGENT ? undefined : agent

  const filters = [conversationId, ...Object.keys(metadata), agent, statuses[0]]
  const isFiltered =
    pending || agent === DEFAULT_AGENT || filters.filter((one) => one !== undefined).length > 1
  const searched = isFiltered ? SEARCHED : limit
  const before = filter.before === undefined ? sql`` : sql`and id < ${filter.before}::uuid`
  const newest = sql`${before} order by id desc limit ${searched}`
  const own = sql`user_id = ${userId} and deleted_at is null`

  function candidates(): RawBuilder<unknown> {
    if (pending)
      return sql`select id from (
        select distinct runs.id from actions join runs on runs.turn_id = actions.turn_id
        where actions.user_id = ${userId} and actions.status = 'pending' and actions.expires_at > now()) runs
        where true ${newest}`
    if (runIds !== undefined)
      return sql`select id from runs where run_id = any(${runIds}::text[]) and ${own} ${newest}`
    if (conversationId !== undefined)
      return sql`select id from runs where conversation_id = (
        select id from conversations where id = ${conversationId}::uuid and user_id = ${userId}) ${newest}`
    if (label !== undefined)
      return sql`select id from run_labels where label = run_label(${userId}, ${label[0]}, ${label[1]}) ${newest}`
    if (agentLabel !== undefined)
      return sql`select id from run_labels where label = run_label(${userId}, null, ${agentLabel}) ${newest}`
    if (statuses.length === 0) return sql`select id from runs where ${own} ${newest}`
    const branches = statuses.map(
      (one) => sql`(select id from runs where ${own} and status = ${one} ${newest})`,
    )
    return sql`select id from (${sql.join(branches, sql` union all `)}) runs order by id desc limit ${searched}`
  }

  const { rows } = await database.page((db) =>
    sql<RunSummaryRecord & { last: string | null; searched: number }>`
      with candidates as materialized (${candidates()}),
      matching as (
        select * from runs where id = any(array(select id from candidates)) and user_id = ${userId}
          and ${sql.raw(VISIBLE)} ${ofRuns} ${ofConversation} ${ofStatus} ${ofMetadata} ${ofAgent}
        order by id desc limit ${limit})
      select ${sql.raw(SUMMARY)}, extent.last, extent.searched
      from (select min(id::text) as last, count(*)::integer as searched from candidates) extent
      left join matching runs on true order by id desc`.execute(db),
  )
  const [first] = rows
  const matching = rows
    .filter(({ id }) => id !== null)
    .map(({ last: _last, searched: _searched, ...row }) => row)
  const isFruitless = first?.searched === searched && first.last !== null && matching.length < limit
  return { rows: matching, ...(isFruitless && first.last !== null ? { searchedTo: first.last } : {}) }
}
