import type { Caller } from '../../caller.ts'
import { problem } from '../../errors.ts'
import type { ShownState } from '../../stores/messages.ts'
import type { Stores } from '../context.ts'
import type { PageWish, Place } from '../start/new-turn.ts'

/** The messages that a chat page shows, and its wish for the message that it sends, both read from its request. */
export interface PageState {
  wish: PageWish
  /** The text of the message. */
  text: string
  /** Id of the message. Undefined when the id has not the form of an id of this service. */
  messageId: string | undefined
  /**
   * Ids of the earlier messages on the page, newest first. Only ids that the service could have made are among them. Each
   * has the number of the user's messages that the page shows after it.
   */
  known: Array<{ id: string; unanswered: number }>
  /** The ids of the chat and of the message, as the page has made them. */
  openedBy: string | undefined
  /** The id of the chat, when the page itself has made it. Such a page knows the newest turn of its chat. */
  chatId: string | undefined
  /**
   * The number of the user's messages before this one, when a page with an own chat id names no conversation. Such a page
   * has removed all messages that name the conversation, and its list begins where the conversation begins.
   */
  questions: number | undefined
  /** The newest message of the conversation that the page knows, when the request names it. */
  headMessageId: string | undefined
}

/**
 * Finds the place of a page's message in its conversation: behind the newest turn, or in the place of turns that the
 * page wants to replace. A page that does not know the newest turn is refused, so that it replaces no turn that it has
 * not shown. A page knows the newest turn when it names the newest message, or when its own chat has asked last. The
 * start checks again under its lock that no turn was added or retried meanwhile.
 *
 * A page that sends its message alone and does not name the newest message is not checked. The check of any other page
 * costs one indexed read.
 */
export async function placeOf(
  stores: Pick<Stores, 'messages' | 'turns'>,
  caller: Caller,
  conversationId: string,
  page: PageState,
  idempotencyKey: string | undefined,
): Promise<Place> {
  const { wish, known, messageId, headMessageId } = page
  const isAlone =
    wish === 'append' && known.length === 0 && messageId === undefined && page.questions === undefined
  if (isAlone && headMessageId === undefined) return {}
  const state = await stores.messages.shown(caller.userId, conversationId.toLowerCase(), page)
  if (state === undefined) return {}
  if (idempotencyKey !== undefined && (await stores.turns.knowsKey(caller.userId, idempotencyKey))) return {}
  const { headId, lastPosition, lastRunId } = state
  const last = { lastPosition, ...(lastRunId === null ? {} : { lastRunId }) }
  const isStale = headMessageId === undefined ? state.showsSuperseded : headMessageId !== headId
  if (isStale) throw changed(state)
  const target = targetOf(page, state)
  if (target === undefined && page.questions !== undefined && !state.askedLast) throw changed(state)
  if (target === undefined && state.knownId === null && wish !== 'append' && headId !== null)
    throw problem('edit_unsupported', { detail: UNKNOWN })
  if (target === undefined) return state.knownId === null && headMessageId === undefined ? {} : last
  const isUpToDate = headMessageId !== undefined || state.askedLast
  if (wish === 'append' && target.id !== messageId && !isUpToDate) throw changed(state)
  const isRegenerated = wish === 'regenerate'
  if (target.position === 0) throw problem(isRegenerated ? 'regenerate_unsupported' : 'edit_unsupported')
  // The stored question has another text: another page has edited it, or this page edits it now.
  if (!isRegenerated || (isUpToDate && !state.sameText)) return { editFrom: target.position, ...last }
  if (target.position !== lastPosition)
    throw problem('turn_not_last', { members: { headMessageId: headId, supersededBy: null } })
  if (!state.sameText) throw changed(state)
  if (lastRunId === null) throw problem('conversation_busy', { members: { activeRunId: null } })
  return { retryOf: lastRunId, lastPosition }
}

/** The stored question that the message would replace; undefined when the message follows all stored questions. */
function targetOf(
  { wish, messageId }: PageState,
  { knownId, targetId, targetPosition, askedLast }: ShownState,
): { id: string; position: number } | undefined {
  if (targetId === null || targetPosition === null) return undefined
  // A page that shows no message of this conversation may have begun in another conversation.
  if (wish === 'append' && knownId === null && targetId !== messageId && !askedLast) return undefined
  return { id: targetId, position: targetPosition }
}

const UNKNOWN =
  'The page shows no message of the conversation, so the service cannot tell which message the page has changed.'

const changed = ({ headId }: ShownState) =>
  problem('conversation_changed', { members: { headMessageId: headId } })
