import { RunStatus } from '@trigger.dev/core/v3/schemas'
import { z } from 'zod/v4'
import { HttpError, notImplemented } from './answers.ts'
import type { RouteContext } from './context.ts'
import { durationMs } from './durations.ts'
import { API_STATUS, type Run } from './run.ts'
import { runItem } from './views.ts'

const csv = z.string().transform((text) => new Set(text.split(',')))
const moment = z
  .string()
  .transform((text) => new Date(/^\d+$/.test(text) ? Number(text) : text).getTime())
  .refine((ms) => !Number.isNaN(ms), 'Invalid date')
const cursor = z.string().transform((text, ctx) => {
  const seq = readCursor(text)
  if (seq === undefined) ctx.addIssue({ code: 'custom', message: 'Invalid cursor' })
  return seq ?? 0
})

const statuses = csv.superRefine((values, ctx) => {
  const invalid = [...values].filter((value) => !RunStatus.safeParse(value).success)
  if (invalid.length > 0)
    ctx.addIssue({ code: 'custom', message: `Invalid status values: ${invalid.join(', ')}` })
})
/** Fields that have one value for all runs of the local engine. */
const NOT_IMPLEMENTED = ['batch', 'schedule', 'bulkAction', 'machine', 'region'].map(
  (name) => `filter[${name}]`,
)

const Query = z.object({
  'page[size]': z.coerce.number().int().positive().max(100).default(25),
  'page[after]': cursor.optional(),
  'page[before]': cursor.optional(),
  'filter[status]': statuses.optional(),
  'filter[taskIdentifier]': csv.optional(),
  'filter[tag]': csv.optional(),
  'filter[queue]': csv.optional(),
  'filter[version]': csv.optional(),
  'filter[isTest]': z
    .enum(['true', 'false'])
    .transform((text) => text === 'true')
    .optional(),
  'filter[createdAt][from]': moment.optional(),
  'filter[createdAt][to]': moment.optional(),
  'filter[createdAt][period]': z
    .string()
    .transform((text) => Date.now() - (durationMs(text) ?? Number.NaN))
    .refine((ms) => !Number.isNaN(ms), 'Invalid period')
    .optional(),
})

type ListQuery = z.infer<typeof Query>

/** Throws 400, or 501 for a filter that this engine lacks. */
export function readListQuery(raw: unknown): ListQuery {
  const given = Object.fromEntries(
    Object.entries(raw as Record<string, unknown>).filter(([, value]) => value !== ''),
  )
  const missing = NOT_IMPLEMENTED.find((name) => name in given)
  if (missing) throw notImplemented(`${missing} of GET /api/v1/runs`)
  const parsed = Query.safeParse(given)
  if (parsed.success) return parsed.data
  throw new HttpError(400, { error: 'Query Error', details: parsed.error.issues })
}

/**
 * One page of runs, newest first. After a cursor come older runs. Before a cursor come newer runs, and that page is
 * oldest first, as on a real server. A cursor is a place in the order of creation, so a run that is added between two
 * requests moves no page.
 */
export function listRuns({ store, view, switches }: RouteContext, query: ListQuery) {
  const { 'page[size]': size, 'page[after]': after, 'page[before]': before } = query
  const shown = Date.now() - switches.listLagMs
  const runs = [...store.all()]
    .filter((run) => run.createdAt.getTime() <= shown && matches(run, query, view.version))
    .reverse()
  let start = 0
  if (after !== undefined) start = firstIndex(runs, (run) => run.seq < after)
  if (before !== undefined) start = Math.max(0, firstIndex(runs, (run) => run.seq <= before) - size)
  const page = runs.slice(start, start + size)
  const [first, last] = [page[0], page.at(-1)]
  return {
    data: (before === undefined ? page : page.toReversed()).map((run) => runItem(run, view)),
    pagination: {
      next: last && start + size < runs.length ? writeCursor(last) : undefined,
      previous: first && start > 0 ? writeCursor(first) : undefined,
    },
  }
}

function matches(run: Run, query: ListQuery, version: string): boolean {
  const among = (values: Set<string> | undefined, value: string) => !values || values.has(value)
  const created = run.createdAt.getTime()
  const tags = query['filter[tag]']
  return (
    among(query['filter[status]'], API_STATUS[run.state]) &&
    among(query['filter[taskIdentifier]'], run.taskId) &&
    among(query['filter[queue]'], run.queue) &&
    among(query['filter[version]'], run.attempt > 0 ? version : '') &&
    (!tags || run.tags.some((tag) => tags.has(tag))) &&
    run.isTest === (query['filter[isTest]'] ?? run.isTest) &&
    created >= (query['filter[createdAt][from]'] ?? created) &&
    created <= (query['filter[createdAt][to]'] ?? created) &&
    created >= (query['filter[createdAt][period]'] ?? created)
  )
}

function firstIndex(runs: Run[], predicate: (run: Run) => boolean): number {
  const index = runs.findIndex(predicate)
  return index < 0 ? runs.length : index
}

/** A cursor is opaque to clients. A real server puts the same two values into it. */
function writeCursor(run: Run): string {
  return Buffer.from(JSON.stringify({ c: run.createdAt.getTime(), r: run.seq })).toString('base64url')
}

function readCursor(text: string): number | undefined {
  try {
    const { r } = JSON.parse(Buffer.from(text, 'base64url').toString()) as { r: unknown }
    return typeof r === 'number' ? r : undefined
  } catch {
    return undefined
  }
}
