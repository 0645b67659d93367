import { v7 as uuid } from 'uuid'
import type { Caller } from '../../caller.ts'
import { type Problem, problem } from '../../errors.ts'
import type { ConversationRecord, MessageRecord } from '../../stores/conversations.ts'
import { isAway } from '../../stores/database.ts'
import { MAX_METADATA_PAIRS, type Metadata } from '../../stores/schema.ts'
import type { ServiceContext } from '../context.ts'
import type { Canceller } from '../end/canceller.ts'
import { runFailure } from '../end/run-failures.ts'
import { assertShown, type PageState } from './page-state.ts'
import { decodeCursor, type Page, pageOf } from './pagination.ts'

export interface ConversationView {
  id: string
  title: string
  metadata: Metadata
  createdAt: string
  updatedAt: string
  lastActivityAt: string
  /** Absent where conversations are kept until they are deleted. */
  expiresAt?: string
  activeRunId: string | null
}

export interface MessageView {
  id: string
  role: 'user' | 'assistant'
  text: string
  parts: MessageRecord['parts']
  status: 'complete' | 'cancelled' | 'failed'
  /** Failed: a sentence fit for people, and the kind of failure. */
  error?: string
  errorCode?: string
  runId?: string
  /** The same as the metadata of a stream's message, and the failure of a failed one. */
  metadata: { conversationId: string; runId?: string; status?: 'failed'; error?: string; errorCode?: string }
  createdAt: string
}

export interface ConversationPatch {
  title?: string
  metadata?: Record<string, string | null> | null
}

export interface ConversationService {
  create(caller: Caller, fields: { title?: string; metadata?: Metadata }): Promise<ConversationView>
  /** Every function that names a conversation answers a foreign one like an unknown one: 404. */
  get(caller: Caller, id: string): Promise<ConversationView>
  /** Newest activity first. */
  list(caller: Caller, page: { limit: number; cursor?: string }): Promise<Page<ConversationView>>
  patch(caller: Caller, id: string, patch: ConversationPatch): Promise<ConversationView>
  /** Contents go at once; active runs are cancelled, by the sweeper where the engine does not answer now. */
  remove(caller: Caller, id: string): Promise<void>
  /** In the order of the conversation (`asc`), or newest first. A failed run has a message also when it said nothing. */
  messages(
    caller: Caller,
    id: string,
    page: { limit: number; cursor?: string; order: 'asc' | 'desc' },
  ): Promise<Page<MessageView>>
  /** Whether the user has such a conversation; false while the database is away. */
  exists(caller: Caller, id: string): Promise<boolean>
  /**
   * Checks that a page which sends a message shows what the conversation holds.
   * @throws Problem `edit_unsupported`, `regenerate_unsupported`, `conversation_changed`
   */
  assertShown(caller: Caller, id: string, page: PageState, idempotencyKey: string | undefined): Promise<void>
}

/** What a conversation is called until its first message gives it a title. */
const UNTITLED = 'New conversation'
const MS_PER_DAY = 86_400_000

export function conversationService(
  { stores, log, settings }: ServiceContext,
  canceller: Canceller,
): ConversationService {
  const { conversations } = stores

  function view(record: ConversationRecord): ConversationView {
    const { title, createdAt, updatedAt, lastActivityAt, ...rest } = record
    const days = settings.conversationRetentionDays
    const expiresAt = days === undefined ? undefined : new Date(lastActivityAt.getTime() + days * MS_PER_DAY)
    return {
      ...rest,
      title: title ?? UNTITLED,
      createdAt: createdAt.toISOString(),
      updatedAt: updatedAt.toISOString(),
      lastActivityAt: lastActivityAt.toISOString(),
      ...(expiresAt === undefined ? {} : { expiresAt: expiresAt.toISOString() }),
    }
  }

  return {
    async create(caller, { title, metadata = {} }) {
      const fields = { id: uuid(), title: title ?? null, metadata }
      return view(await conversations.create(caller.userId, fields))
    },

    async get(caller, id) {
      return view(existing(await conversations.find(caller.userId, id)))
    },

    async list(caller, { limit, cursor }) {
      const [at, id] = decodeCursor(cursor, 'conversations', ['time', 'uuid']) ?? []
      const before =
        at === undefined || id === undefined ? {} : { before: { lastActivityAt: new Date(at), id } }
      const rows = await conversations.list(caller.userId, { limit: limit + 1, ...before })
      return pageOf(rows, limit, 'conversations', {
        item: view,
        key: (row) => [row.lastActivityAt.toISOString(), row.id],
      })
    },

    async patch(caller, id, patch) {
      const patched = await conversations.patch(caller.userId, id, patch)
      if (patched === 'too_many_pairs') throw tooManyPairs()
      return view(existing(patched))
    },

    async remove(caller, id) {
      const active = existing(await conversations.remove(caller.userId, id))
      for (const { turnId, runId } of active) {
        if (runId === null) continue
        canceller.end(turnId, runId).catch((error: unknown) => {
          log.warn({ err: error, turnId, runId }, 'the sweeper will cancel the run of a deleted conversation')
        })
      }
    },

    async exists(caller, id) {
      return conversations.find(caller.userId, id.toLowerCase()).then(
        (found) => found !== undefined,
        (error: unknown) => {
          if (isAway(error)) return false
          throw error
        },
      )
    },

    assertShown: (caller, id, page, idempotencyKey) => assertShown(stores, caller, id, page, idempotencyKey),

    async messages(caller, id, { limit, cursor, order }) {
      const conversationId = id.toLowerCase()
      const filters = ['messages', conversationId, ...(order === 'asc' ? [] : [order])]
      const [position, seq] = decodeCursor(cursor, filters, ['integer', 'integer'])?.map(Number) ?? []
      const after = position === undefined || seq === undefined ? {} : { after: { position, seq } }
      const rows = existing(
        await conversations.messages(caller.userId, id, { limit: limit + 1, order, ...after }),
      )
      return pageOf(rows, limit, filters, {
        item: (row) => messageView(conversationId, row),
        key: (row) => [String(row.position), String(row.seq)],
      })
    },
  }
}

function existing<T>(found: T | undefined): T {
  if (found === undefined) throw problem('conversation_not_found')
  return found
}

/** In the words of the schema, which knows only the pairs of the request. */
function tooManyPairs(): Problem {
  const message = `must have at most ${MAX_METADATA_PAIRS} fields, together with those that it has`
  return problem('invalid_request', {
    detail: `\`metadata\` ${message}.`,
    members: { errors: [{ path: '/metadata', message }] },
  })
}

function messageView(
  conversationId: string,
  { id, role, text, parts, status, runId, createdAt, error, errorCode }: MessageRecord,
): MessageView {
  const run = runId === null ? {} : { runId }
  const failure = errorCode === null ? {} : { error: error ?? runFailure(errorCode).message, errorCode }
  return {
    id,
    role,
    text,
    parts,
    status,
    ...failure,
    ...run,
    metadata: { conversationId, ...run, ...(status === 'failed' ? { status, ...failure } : {}) },
    createdAt: createdAt.toISOString(),
  }
}
