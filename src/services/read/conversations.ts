import { v7 as uuid } from 'uuid'
import type { Caller } from '../../caller.ts'
import { type Problem, problem } from '../../errors.ts'
import { type ConversationPlace, type ConversationRecord, MAX_FORKED } from '../../stores/conversations.ts'
import { isAway } from '../../stores/database.ts'
import { MAX_METADATA_PAIRS, type Metadata } from '../../stores/schema.ts'
import type { ServiceContext } from '../context.ts'
import type { Canceller } from '../end/canceller.ts'
import type { AgentService } from './agents.ts'
import { decodeCursor, type Page, pageOf } from './pagination.ts'

export interface ConversationView {
  id: string
  title: string
  metadata: Metadata
  /** Absent until the first turn fixes it. */
  agent?: string
  createdAt: string
  updatedAt: string
  lastActivityAt: string
  /** Absent when the service keeps conversations until they are deleted. */
  expiresAt?: string
  activeRunId: string | null
  /** The text that stands for the oldest messages in prompts, and the id of the last one of them. */
  summary?: string
  summarizedThrough?: string
}

export interface ConversationPatch {
  title?: string
  metadata?: Record<string, string | null> | null
}

export interface ConversationService {
  create(caller: Caller, fields: { title?: string; metadata?: Metadata }): Promise<ConversationView>
  /** For every function, the conversation of another user is an unknown conversation: 404. */
  get(caller: Caller, id: string): Promise<ConversationView>
  /** Newest activity first. */
  list(
    caller: Caller,
    page: { agent?: string; limit: number; cursor?: string },
  ): Promise<Page<ConversationView>>
  patch(caller: Caller, id: string, patch: ConversationPatch): Promise<ConversationView>
  /** Hides the contents and cancels unfinished runs. The sweeper cancels them when the engine does not answer. */
  remove(caller: Caller, id: string): Promise<void>
  /**
   * Copies the messages of a conversation, up to and including one message, into a new conversation of the same user.
   * @throws Problem `message_not_found`, `conversation_busy`, `conversation_too_long`, and the reason why the caller may not
   * use the agent of the conversation
   */
  fork(caller: Caller, id: string, throughMessageId: string | undefined): Promise<ConversationView>
  /** Whether the user has such a conversation; false while the database is away. */
  exists(caller: Caller, id: string): Promise<boolean>
  /** The conversation that a message of a chat has opened; undefined while the database is away. */
  openedBy(caller: Caller, openedBy: string): Promise<string | undefined>
  /** The conversation in which a chat has asked last; undefined while the database is away. */
  ofChat(caller: Caller, chatId: string): Promise<string | undefined>
}

/** The title of a conversation that has no message yet. */
const UNTITLED = 'New conversation'
const MS_PER_DAY = 86_400_000

export function conversationService(
  { stores, log, settings }: ServiceContext,
  canceller: Canceller,
  agents: Pick<AgentService, 'refusal'>,
): ConversationService {
  const { conversations } = stores

  function view(record: ConversationRecord): ConversationView {
    const { title, agent, createdAt, updatedAt, lastActivityAt, summary, summarizedThrough, ...rest } = record
    const days = settings.conversationRetentionDays
    const expiresAt = days === undefined ? undefined : new Date(lastActivityAt.getTime() + days * MS_PER_DAY)
    return {
      ...rest,
      title: title ?? UNTITLED,
      ...(agent === null ? {} : { agent }),
      createdAt: createdAt.toISOString(),
      updatedAt: updatedAt.toISOString(),
      lastActivityAt: lastActivityAt.toISOString(),
      ...(expiresAt === undefined ? {} : { expiresAt: expiresAt.toISOString() }),
      ...(summary ? { summary } : {}),
      ...(summarizedThrough ? { summarizedThrough } : {}),
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

    async list(caller, { agent, limit, cursor }) {
      const filters = agent === undefined ? 'conversations' : ['conversations', agent]
      const [at, id] = decodeCursor(cursor, filters, ['time', 'uuid']) ?? []
      const { rows, searchedTo } = await conversations.list(caller.userId, {
        limit: limit + 1,
        ...(agent === undefined ? {} : { agent }),
        ...(at === undefined || id === undefined ? {} : { before: { lastActivityAt: new Date(at), id } }),
      })
      const key = (row: ConversationPlace) => [row.lastActivityAt.toISOString(), row.id]
      const end = searchedTo === undefined ? {} : { end: key(searchedTo) }
      return pageOf(rows, limit, filters, { item: view, key, ...end })
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
          log.warn(
            { err: error, turnId, runId },
            'the run of a deleted conversation could not be cancelled; the sweeper cancels it',
          )
        })
      }
    },

    async fork(caller, id, throughMessageId) {
      const { agent } = existing(await conversations.find(caller.userId, id))
      const refusal = agent === null ? undefined : agents.refusal(caller, agent)
      if (refusal !== undefined) throw refusal
      const forked = { id: uuid(), messageId: throughMessageId?.toLowerCase() }
      const done = await conversations.fork(caller.userId, id, forked.messageId, forked.id)
      switch (done.outcome) {
        case 'forked':
          return view(existing(await conversations.find(caller.userId, forked.id)))
        case 'message_not_found':
          throw problem('message_not_found')
        case 'busy':
          throw problem('conversation_busy', {
            detail: UNFINISHED,
            members: { activeRunId: done.activeRunId },
          })
        case 'too_long':
          throw problem('conversation_too_long', {
            detail: `There are more than ${MAX_FORKED} messages up to this one.`,
          })
        case 'conversation_not_found':
          throw problem('conversation_not_found')
      }
    },

    async exists(caller, id) {
      const found = conversations.find(caller.userId, id.toLowerCase())
      return (await found.catch(unlessAway)) !== undefined
    },

    openedBy: (caller, openedBy) => conversations.openedBy(caller.userId, openedBy).catch(unlessAway),
    ofChat: (caller, chatId) => conversations.ofChat(caller.userId, chatId).catch(unlessAway),
  }
}

const UNFINISHED = 'A turn up to this message is unfinished. Wait for its end, or cancel it.'

function unlessAway(error: unknown): undefined {
  if (!isAway(error)) throw error
}

function existing<T>(found: T | undefined): T {
  if (found === undefined) throw problem('conversation_not_found')
  return found
}

/** The same problem as for too many pairs in the body. The body's schema cannot count the pairs that are stored. */
function tooManyPairs(): Problem {
  const message = `must have at most ${MAX_METADATA_PAIRS} fields, together with those that it has`
  return problem('invalid_request', {
    detail: `\`metadata\` ${message}.`,
    members: { errors: [{ path: '/metadata', message }] },
  })
}
