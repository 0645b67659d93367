import { randomUUID } from 'node:crypto'
import { conversationStore } from '../../../src/stores/conversations.ts'
import type { Database } from '../../../src/stores/database.ts'
import { messageStore } from '../../../src/stores/messages.ts'
import { runStore } from '../../../src/stores/runs.ts'
import { HEAVY_USER, LONG_CONVERSATION } from '../fill.ts'
import { BATCH, type Case, QUICK, type Sample } from '../sample.ts'

export function reads(database: Database, heavy: Sample, small: Sample, running: string[]): Case[] {
  const runs = runStore(database)
  const conversations = conversationStore(database)
  const messages = messageStore(database)
  const { conversationId } = heavy
  return [
    { name: 'poll, completed', buffers: QUICK, work: () => runs.find(HEAVY_USER, heavy.runIds[0] as string) },
    { name: 'poll, running', buffers: QUICK, work: () => runs.find(HEAVY_USER, running[0] as string) },
    { name: 'poll, unknown', buffers: QUICK, work: () => runs.find(HEAVY_USER, 'run_unknown') },
    { name: 'poll, foreign', buffers: QUICK, work: () => runs.find(HEAVY_USER, small.runIds[0] as string) },
    { name: 'progress of a stream', buffers: QUICK, work: () => runs.progress(running[0] as string) },
    { name: 'states of 100 waits', buffers: 10 * BATCH, work: () => runs.states(running.slice(0, BATCH)) },
    {
      name: 'newest unfinished',
      buffers: QUICK,
      work: () => runs.newestUnfinished(HEAVY_USER, conversationId),
    },
    { name: 'conversation', buffers: QUICK, work: () => conversations.find(HEAVY_USER, conversationId) },
    {
      name: 'what a page shows of 10 messages',
      buffers: 2 * QUICK,
      work: () =>
        messages.shown(HEAVY_USER, conversationId, {
          known: heavy.messageIds.map((id) => ({ id, unanswered: 0 })),
          messageId: randomUUID(),
          text: 'hi',
          openedBy: 'chat message',
          chatId: undefined,
          questions: undefined,
          wish: 'edit',
        }),
    },
    {
      name: 'what a page with unknown messages shows of a long conversation',
      buffers: 2 * QUICK,
      work: () =>
        messages.shown('patient', LONG_CONVERSATION, {
          known: [],
          messageId: undefined,
          text: 'x',
          openedBy: undefined,
          chatId: undefined,
          questions: undefined,
          wish: 'regenerate',
        }),
    },
    {
      name: 'what a page that has cut its list off shows of a long conversation',
      buffers: 2 * QUICK,
      work: () =>
        messages.shown('patient', LONG_CONVERSATION, {
          known: [],
          messageId: undefined,
          text: 'x',
          openedBy: undefined,
          chatId: '__LOCALID_page',
          questions: 3,
          wish: 'append',
        }),
    },
    {
      name: 'conversation that a chat has opened',
      buffers: 2 * QUICK,
      work: () => conversations.openedBy(HEAVY_USER, 'chat message'),
    },
    {
      name: 'conversation in which a chat has asked last',
      buffers: QUICK,
      work: () => conversations.ofChat(HEAVY_USER, '__LOCALID_page'),
    },
  ]
}
