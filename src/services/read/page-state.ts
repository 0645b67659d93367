import type { Caller } from '../../caller.ts'
import { problem } from '../../errors.ts'
import type { Stores } from '../context.ts'

/** What a chat page shows and wants when it sends a message, as far as its request tells. */
export interface PageState {
  /**
   * `append`: the message follows what the page shows. `edit`: the page has put it in the place of an earlier
   * message. `regenerate`: the page has removed an answer and wants another one.
   */
  wish: 'append' | 'edit' | 'regenerate'
  /** Id of the message itself, where the service could have made it. */
  messageId: string | undefined
  /**
   * Ids of the messages before it that the service could have made, newest first, each with the number of the
   * user's messages that the page shows after it.
   */
  known: Array<{ id: string; unanswered: number }>
}

/**
 * Checks that a message can be appended to a conversation and both look the same afterwards: the conversation holds
 * no message of the user's that the page does not show. Conversations only grow, so a page that has cut its list
 * off, or that another page has overtaken, would show something else than the conversation holds.
 *
 * A page that names no message of the conversation is believed, unless it says itself that it edits or regenerates.
 * Costs one indexed read, and none for pages that send no ids of the service.
 * @param idempotencyKey a request that is sent again is not judged again: its message is in the conversation
 * @throws Problem `edit_unsupported`, `regenerate_unsupported`, `conversation_changed`
 */
export async function assertShown(
  stores: Pick<Stores, 'conversations' | 'turns'>,
  caller: Caller,
  conversationId: string,
  page: PageState,
  idempotencyKey: string | undefined,
): Promise<void> {
  const { wish, known, messageId } = page
  const ids = [...known.map(({ id }) => id), ...(messageId === undefined ? [] : [messageId])]
  const found =
    ids.length === 0
      ? undefined
      : await stores.conversations.newestOf(caller.userId, conversationId.toLowerCase(), ids)
  const unanswered = known.find(({ id }) => id === found?.id)?.unanswered
  if (found !== undefined && unanswered !== undefined && found.questionsAfter <= unanswered) return
  if (found === undefined && wish === 'append') return
  if (idempotencyKey !== undefined && (await stores.turns.knowsKey(caller.userId, idempotencyKey))) return
  if (wish === 'regenerate') throw problem('regenerate_unsupported')
  // The message itself is stored already: the page has changed it, or sends it once more.
  if (wish === 'edit' || found?.id === messageId) throw problem('edit_unsupported')
  throw problem('conversation_changed', { members: { headMessageId: found?.headId ?? null } })
}
