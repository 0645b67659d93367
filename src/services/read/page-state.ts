import type { Caller } from '../../caller.ts'
import { problem } from '../../errors.ts'
import type { ShownState } from '../../stores/messages.ts'
import type { Stores } from '../context.ts'
import type { PageWish, Place } from '../start/new-turn.ts'

/** What a chat page shows, and what it wants with the message that it sends, as far as its request tells. */
export interface PageState {
  wish: PageWish
  /** The text of the message. */
  text: string
  /** Id of the message itself, where the service could have made it. */
  messageId: string | undefined
  /**
   * Ids of the messages before it that the service could have made, newest first, each with the number of the
   * user's messages that the page shows after it.
   */
  known: Array<{ id: string; unanswered: number }>
  /** The ids of the chat and of the message, as the page has made them. */
  openedBy: string | undefined
  /** The chat's id, where the page itself has made it: the newest turn of such a chat is known to the page. */
  chatId: string | undefined
  /**
   * The number of the user's messages before this one, when such a page names no conversation: then the page has cut off
   * all that could name it, and its list begins with the beginning of the conversation.
   */
  questions: number | undefined
  /** The newest message that the page knows of, when the page says so. */
  headMessageId: string | undefined
}

/**
 * Finds the place of a page's message in its conversation: behind the newest turn, or in the place of turns that the
 * page wants to replace. A page that lacks newer turns and does not say that it knows of them is refused, so that it
 * replaces nothing that it has not seen. A page knows of the newest turn when it names the newest message, or when its own
 * chat has asked last: the chat shows its own turns, unless the page has cut them off. The start checks once more, under
 * its lock, that no turn was added or repeated meanwhile.
 *
 * A page that sends its message alone is believed. The check costs one indexed read, and none for such a page.
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
  // With another text, a page either lacks an edit of the question, or has edited it itself.
  if (!isRegenerated || (isUpToDate && !state.sameText)) return { editFrom: target.position, ...last }
  if (target.position !== lastPosition)
    throw problem('turn_not_last', { members: { headMessageId: headId, supersededBy: null } })
  if (!state.sameText) throw changed(state)
  if (lastRunId === null) throw problem('conversation_busy', { members: { activeRunId: null } })
  return { retryOf: lastRunId, lastPosition }
}

/** The stored question that the message would replace; undefined when it follows all stored questions. */
function targetOf(
  { wish, messageId }: PageState,
  { knownId, targetId, targetPosition, askedLast }: ShownState,
): { id: string; position: number } | undefined {
  if (targetId === null || targetPosition === null) return undefined
  // A page whose messages are all unknown may have begun the conversation elsewhere.
  if (wish === 'append' && knownId === null && targetId !== messageId && !askedLast) return undefined
  return { id: targetId, position: targetPosition }
}

const UNKNOWN =
  'The page shows no message of the conversation, so it cannot be told which of them the page has changed.'

const changed = ({ headId }: ShownState) =>
  problem('conversation_changed', { members: { headMessageId: headId } })
