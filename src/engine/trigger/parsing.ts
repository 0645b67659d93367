import { type TSchema, Type } from '@sinclair/typebox'
import { TypeCompiler } from '@sinclair/typebox/compiler'
import { type AgentOutput, type AgentTurn, type IndexedChunk, PAYLOAD_VERSION } from '../../agent/turn.ts'

const RunId = Type.String({ pattern: '^run_.' })
const Uuid = Type.String({ pattern: '^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$' })
const Count = Type.Integer({ minimum: 0 })
const nullable = <T extends TSchema>(schema: T) => Type.Union([schema, Type.Null()])

/** A part has what its type promises to those who read it; the types that are not named here are passed through. */
const Part = Type.Union([
  Type.Object({ type: Type.Union([Type.Literal('text'), Type.Literal('reasoning')]), text: Type.String() }),
  Type.Object({ type: Type.String({ pattern: '^tool-.' }), toolCallId: Type.String(), state: Type.String() }),
  Type.Object({
    type: Type.Literal('dynamic-tool'),
    toolName: Type.String(),
    toolCallId: Type.String(),
    state: Type.String(),
  }),
  Type.Object({
    type: Type.Union([Type.Literal('file'), Type.Literal('reasoning-file')]),
    mediaType: Type.String(),
    url: Type.String({ pattern: '^(data:|https?://[^/])' }),
  }),
  Type.Object({
    type: Type.String({ pattern: '^(?!(text|reasoning|dynamic-tool|file|reasoning-file)$|tool-)' }),
  }),
])

const message = (...roles: string[]) =>
  Type.Object({
    id: Type.String(),
    role: Type.Union(roles.map((role) => Type.Literal(role))),
    parts: Type.Array(Part),
  })

const Turn = TypeCompiler.Compile(
  Type.Object({
    version: Type.Integer({ minimum: 1, maximum: PAYLOAD_VERSION }),
    turnId: Uuid,
    conversationId: nullable(Uuid),
    position: Type.Optional(Type.Integer()),
    message: message('user'),
    history: Type.Array(message('user', 'assistant', 'system')),
    ahead: Type.Array(RunId),
    aheadAfter: Type.Optional(Type.Array(Count)),
    assistantMessageId: Type.String({ minLength: 1 }),
    traceparent: Type.Optional(Type.String()),
    origin: Type.Optional(
      Type.Object({
        userId: Type.String({ minLength: 1 }),
        actor: nullable(Type.String()),
        metadata: Type.Record(Type.String(), Type.String()),
        idempotencyKey: nullable(Type.String()),
        requestHash: nullable(Type.String()),
      }),
    ),
  }),
)

const Output = TypeCompiler.Compile(
  Type.Object({
    uiMessage: message('assistant'),
    usage: Type.Object({
      inputTokens: Count,
      outputTokens: Count,
      totalTokens: Count,
      estimated: Type.Optional(Type.Boolean()),
    }),
    finishReason: Type.String(),
    textCut: Type.Optional(Type.Boolean()),
    chunkCount: Count,
  }),
)

const Chunk = TypeCompiler.Compile(Type.Object({ index: Count, chunk: Type.Object({ type: Type.String() }) }))

const Run = TypeCompiler.Compile(Type.Object({ id: RunId }))

/** The payload of a run, if it is one that this release knows; what other versions add is passed through. */
export const isTurn = (value: unknown): value is AgentTurn => Turn.Check(value)

/** The output of a run, if all of it can be read. */
export const isOutput = (value: unknown): value is AgentOutput => Output.Check(value)

/** One record of a run's stream. */
export const isIndexedChunk = (value: unknown): value is IndexedChunk => Chunk.Check(value)

/** The path of the first fault of a value, for the log: none of its contents. */
export const faultOf = (kind: 'payload' | 'output', value: unknown): string =>
  (kind === 'payload' ? Turn : Output).Errors(value).First()?.path || '/'

/** A run as the engine tells of it, with what can be read of it. */
export interface EngineRun {
  id: string
  status: unknown
  tags: string[]
  createdAt: Date | undefined
  startedAt: Date | undefined
  finishedAt: Date | undefined
  payload: unknown
  output: unknown
  /** What the engine says of a run that did not complete. */
  errorMessage: string
}

/** Reads an answer of the engine about one run; undefined without the id of a run. Wrong times count as absent. */
export function readRun(value: unknown): EngineRun | undefined {
  if (!Run.Check(value)) return undefined
  const run = value as { id: string } & Record<string, unknown>
  return {
    id: run.id,
    status: run.status,
    tags: Array.isArray(run.tags) ? run.tags.filter((tag) => typeof tag === 'string') : [],
    createdAt: readDate(run.createdAt),
    startedAt: readDate(run.startedAt),
    finishedAt: readDate(run.finishedAt),
    payload: run.payload,
    output: run.output,
    errorMessage: readMessage(run.error),
  }
}

export interface EnginePage {
  runs: unknown[]
  /** The cursor of the page that follows. */
  next: string | undefined
}

/** Reads one page of a list; undefined for what is none. */
export function readPage(value: unknown): EnginePage | undefined {
  const { data, pagination } = (value ?? {}) as { data?: unknown; pagination?: { next?: unknown } | null }
  if (!Array.isArray(data)) return undefined
  const next = pagination?.next
  return { runs: data, next: typeof next === 'string' && next !== '' ? next : undefined }
}

function readDate(value: unknown): Date | undefined {
  const date = value instanceof Date ? value : typeof value === 'string' ? new Date(value) : undefined
  return date === undefined || Number.isNaN(date.getTime()) ? undefined : date
}

function readMessage(error: unknown): string {
  const { message } = (error ?? {}) as { message?: unknown }
  return typeof message === 'string' ? message : ''
}
