import { type TSchema, Type } from '@sinclair/typebox'
import { TypeCompiler } from '@sinclair/typebox/compiler'
import {
  type AgentOutput,
  type AgentTurn,
  type IndexedChunk,
  type KeptWindow,
  PAYLOAD_VERSION,
} from '../../agent/turn.ts'

const RunId = Type.String({ pattern: '^run_.' })
const Uuid = Type.String({ pattern: '^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$' })
const Count = Type.Integer({ minimum: 0 })
/** Characters of a summary; the worker writes at most as many bytes. */
const MAX_SUMMARY = 8 * 1024
const nullable = <T extends TSchema>(schema: T) => Type.Union([schema, Type.Null()])

/** The parts whose fields the service reads. Parts of other types pass through unchecked. */
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
    continues: Type.Optional(
      Type.Object({ runId: RunId, message: message('assistant'), actions: Type.Array(Type.Unknown()) }),
    ),
    origin: Type.Optional(
      Type.Object({
        userId: Type.String({ minLength: 1 }),
        actor: nullable(Type.String()),
        metadata: Type.Record(Type.String(), Type.String()),
        idempotencyKey: nullable(Type.String()),
        requestHash: nullable(Type.String()),
        webhook: Type.Optional(Type.Object({ url: Type.String(), origin: Type.String() })),
      }),
    ),
  }),
)

const Time = Type.String({ pattern: '^\\d{4}-\\d{2}-\\d{2}T\\d{2}:\\d{2}:\\d{2}(\\.\\d{1,9})?Z$' })

const AskedAction = Type.Object({
  actionId: Uuid,
  toolCallId: Type.String({ minLength: 1, maxLength: 500 }),
  toolName: Type.String({ minLength: 1, maxLength: 500 }),
  args: Type.Unknown(),
  kind: Type.Union([Type.Literal('approval'), Type.Literal('tool_result')]),
  message: Type.Optional(Type.String({ maxLength: 2000 })),
  createdAt: Time,
  expiresAt: Time,
})

const Output = TypeCompiler.Compile(
  Type.Object({
    uiMessage: message('assistant'),
    usage: Type.Object({
      inputTokens: Count,
      outputTokens: Count,
      totalTokens: Count,
      cachedInputTokens: Type.Optional(Count),
      reasoningTokens: Type.Optional(Count),
      estimated: Type.Optional(Type.Boolean()),
    }),
    finishReason: Type.String(),
    steps: Type.Optional(Count),
    model: Type.Optional(Type.String()),
    timings: Type.Optional(
      Type.Object({
        queuedMs: Type.Optional(Count),
        firstTokenMs: Type.Optional(Count),
        durationMs: Count,
      }),
    ),
    history: Type.Optional(Type.Object({ sent: Count, summarized: Count, dropped: Count })),
    structured: Type.Optional(Type.Boolean()),
    textCut: Type.Optional(Type.Boolean()),
    pendingActions: Type.Optional(Type.Array(AskedAction, { maxItems: 50 })),
    steeredBy: Type.Optional(RunId),
    chunkCount: Count,
  }),
)

const Window = TypeCompiler.Compile(
  Type.Object({
    summary: Type.Optional(
      Type.Object({
        text: Type.String({ minLength: 1, maxLength: MAX_SUMMARY }),
        messages: Count,
        dropped: Count,
        through: Type.Array(Type.String(), { minItems: 1, maxItems: 2 }),
      }),
    ),
    charactersPerToken: Type.Optional(Type.Number({ minimum: 0.1, maximum: 100 })),
  }),
)

const Chunk = TypeCompiler.Compile(Type.Object({ index: Count, chunk: Type.Object({ type: Type.String() }) }))

const Run = TypeCompiler.Compile(Type.Object({ id: RunId }))

/** The payload of a run, when this release can read it. Fields that other versions add pass through. */
export const isTurn = (value: unknown): value is AgentTurn => Turn.Check(value)

/** The output of a run, when all of it can be read. */
export const isOutput = (value: unknown): value is AgentOutput => Output.Check(value)

/** What a run has kept for later prompts. An output is read without it when only this part cannot be read. */
export const isWindow = (value: unknown): value is KeptWindow => Window.Check(value)

/** One record of a run's stream. */
export const isIndexedChunk = (value: unknown): value is IndexedChunk => Chunk.Check(value)

/** The path of the first fault of a value, for the log. It holds nothing of the contents. */
export const faultOf = (kind: 'payload' | 'output', value: unknown): string =>
  (kind === 'payload' ? Turn : Output).Errors(value).First()?.path || '/'

/** A run as the engine describes it, with the fields that can be read. */
export interface EngineRun {
  id: string
  status: unknown
  tags: string[]
  createdAt: Date | undefined
  startedAt: Date | undefined
  finishedAt: Date | undefined
  payload: unknown
  output: unknown
  /** The engine's message about a run that did not complete. */
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
  /** The cursor of the next page. */
  next: string | undefined
}

/** Reads one page of a list. @returns undefined for an answer that is no page */
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
