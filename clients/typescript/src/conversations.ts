import { AgentChatError } from './errors.ts'
import type { CallOptions, Http } from './http.ts'
import type {
  Conversation,
  ConversationPatch,
  Message,
  MessageQuery,
  NewConversation,
  Page,
  PageQuery,
} from './types.ts'

const PATH = '/api/agent/conversations'
const pathOf = (id: string) => `${PATH}/${encodeURIComponent(id)}`

export class Conversations {
  readonly #http: Http

  constructor(http: Http) {
    this.#http = http
  }

  /** Newest activity first. */
  list(query: PageQuery = {}, options: CallOptions = {}): Promise<Page<Conversation>> {
    return this.#http.json({ path: PATH, query, ...options })
  }

  get(id: string, options: CallOptions = {}): Promise<Conversation> {
    return this.#http.json({ path: pathOf(id), ...options })
  }

  /** Oldest message first, or newest with `order: "desc"`. */
  messages(id: string, query: MessageQuery = {}, options: CallOptions = {}): Promise<Page<Message>> {
    return this.#http.json({ path: `${pathOf(id)}/messages`, query, ...options })
  }

  /** Creates one before its first message. It is not sent again when its answer was lost, as it has no key. */
  create(conversation: NewConversation = {}, options: CallOptions = {}): Promise<Conversation> {
    return this.#http.json({ method: 'POST', path: PATH, body: conversation, once: true, ...options })
  }

  /** Copies the messages up to one, or all, into a new conversation. Not sent again when its answer was lost. */
  fork(id: string, throughMessageId?: string, options: CallOptions = {}): Promise<Conversation> {
    const body = throughMessageId === undefined ? {} : { throughMessageId }
    return this.#http.json({ method: 'POST', path: `${pathOf(id)}/fork`, body, once: true, ...options })
  }

  update(id: string, patch: ConversationPatch, options: CallOptions = {}): Promise<Conversation> {
    return this.#http.json({ method: 'PATCH', path: pathOf(id), body: patch, ...options })
  }

  /** Deletes a conversation, and cancels its runs. */
  async delete(id: string, options: CallOptions = {}): Promise<void> {
    try {
      await this.#http.json({ method: 'DELETE', path: pathOf(id), ...options })
    } catch (error) {
      // The answer of an earlier attempt was lost, and that attempt has deleted it.
      const isGone = error instanceof AgentChatError && error.code === 'conversation_not_found'
      if (!isGone || error.attempts === 1) throw error
    }
  }
}
