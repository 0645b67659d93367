import type { Run } from './run.ts'

/** The columns of a run in the realtime feed, with the types that the feed's schema header gives them. */
const COLUMNS = {
  id: { type: 'text' },
  taskIdentifier: { type: 'text' },
  createdAt: { type: 'timestamp' },
  updatedAt: { type: 'timestamp' },
  startedAt: { type: 'timestamp' },
  delayUntil: { type: 'timestamp' },
  queuedAt: { type: 'timestamp' },
  expiredAt: { type: 'timestamp' },
  completedAt: { type: 'timestamp' },
  friendlyId: { type: 'text' },
  number: { type: 'int4' },
  isTest: { type: 'bool' },
  status: { type: 'text' },
  usageDurationMs: { type: 'int4' },
  costInCents: { type: 'float8' },
  baseCostInCents: { type: 'float8' },
  ttl: { type: 'text' },
  payload: { type: 'text' },
  payloadType: { type: 'text' },
  metadata: { type: 'text' },
  metadataType: { type: 'text' },
  output: { type: 'text' },
  outputType: { type: 'text' },
  runTags: { type: 'text', dims: 1 },
  error: { type: 'jsonb' },
  realtimeStreams: { type: 'text', dims: 1 },
}

/** Columns that a subscriber cannot leave out, because the SDK's own schema requires them. */
const REQUIRED = new Set(['id', 'taskIdentifier', 'friendlyId', 'status', 'createdAt', 'updatedAt'])

type Column = keyof typeof COLUMNS
type Row = Record<Column, string | null>

export type Operation = 'insert' | 'update'
export type ShapeMessage =
  | { key: string; value: Partial<Row>; headers: { operation: Operation } }
  | { headers: { control: 'up-to-date' | 'must-refetch' } }

export const UP_TO_DATE: ShapeMessage = { headers: { control: 'up-to-date' } }

/** The columns that remain when `skipped` (comma separated) are left out. */
export function columnsWithout(skipped = ''): Column[] {
  const names = new Set(skipped.split(',').filter((name) => !REQUIRED.has(name)))
  return (Object.keys(COLUMNS) as Column[]).filter((column) => !names.has(column))
}

export const schemaHeader = (columns: Column[]): string =>
  JSON.stringify(Object.fromEntries(columns.map((column) => [column, COLUMNS[column]])))

/** One run as a message of the feed. Every value is a string, in the form in which Postgres writes it. */
export function rowMessage(run: Run, operation: Operation, columns: Column[]): ShapeMessage {
  const all = row(run)
  const value = Object.fromEntries(columns.map((column) => [column, all[column]]))
  return { key: `"public"."TaskRun"/"${all.id}"`, value, headers: { operation } }
}

function row(run: Run): Row {
  return {
    id: run.id.slice('run_'.length),
    taskIdentifier: run.taskId,
    createdAt: timestamp(run.createdAt),
    updatedAt: timestamp(run.updatedAt),
    startedAt: run.startedAt ? timestamp(run.startedAt) : null,
    delayUntil: run.delayUntil ? timestamp(run.delayUntil) : null,
    queuedAt: run.queuedAt ? timestamp(run.queuedAt) : null,
    expiredAt: run.expiredAt ? timestamp(run.expiredAt) : null,
    completedAt: run.completedAt ? timestamp(run.completedAt) : null,
    friendlyId: run.id,
    number: '0',
    isTest: run.isTest ? 't' : 'f',
    status: run.state,
    usageDurationMs: String(Math.round(run.usageMs)),
    costInCents: '0',
    baseCostInCents: '0',
    ttl: run.ttl ?? null,
    payload: run.payload.data ?? null,
    payloadType: run.payload.dataType,
    metadata: run.metadata ? JSON.stringify(run.metadata) : null,
    metadataType: 'application/json',
    output: run.output?.data ?? null,
    outputType: run.output?.dataType ?? 'application/json',
    runTags: run.tags.length > 0 ? array(run.tags) : null,
    error: run.error ? JSON.stringify(run.error) : null,
    realtimeStreams: array([...run.streams].filter(([, stream]) => stream.declared).map(([key]) => key)),
  }
}

/** A time without its zone, as the type of the column demands. The SDK adds the Z. */
const timestamp = (date: Date): string => date.toISOString().slice(0, -1)
const array = (values: string[]): string =>
  `{${values.map((value) => `"${value.replace(/["\\]/g, '\\$&')}"`).join(',')}}`
