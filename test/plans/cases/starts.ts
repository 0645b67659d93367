import { randomUUID } from 'node:crypto'
import { conversationStore } from '../../../src/stores/conversations.ts'
import type { Database } from '../../../src/stores/database.ts'
import { type NewTurn, turnStore } from '../../../src/stores/turns.ts'
import { HEAVY_USER } from '../fill.ts'
import { BATCH, type Case, NEXT_TURN, QUICK, ROW, type Sample } from '../sample.ts'

const MESSAGE = () => ({
  id: randomUUID(),
  role: 'user' as const,
  parts: [{ type: 'text' as const, text: 'hi' }],
  text: 'hi',
})

export const newTurn = (more: Partial<NewTurn>): NewTurn => ({
  turnId: randomUUID(),
  userId: HEAVY_USER,
  actor: null,
  conversationId: randomUUID(),
  newConversation: true,
  agents: ['default'],
  title: 'New',
  seed: [],
  message: MESSAGE(),
  assistantMessageId: randomUUID(),
  metadata: { app: 'web' },
  ifBusy: 'enqueue',
  idempotencyKey: null,
  requestHash: null,
  ...more,
})

export const LIMITS = {
  queueLimit: 10,
  editLimit: 500,
  maxMessages: 50,
  maxBytes: 240 * 1024,
  leaseSeconds: 13,
  deadlineSeconds: 4_020,
}

export function starts(database: Database, heavy: Sample, busy: string[], fresh: string[]): Case[] {
  const turns = turnStore(database, LIMITS)
  const conversations = conversationStore(database)
  const keyed = () => ({ idempotencyKey: randomUUID(), requestHash: 'hash' })
  const old = newTurn({ ...keyed() })
  const next = () => fresh.pop() as string
  return [
    { name: 'start, new conversation', buffers: QUICK, work: () => turns.start(newTurn({})) },
    { name: 'start, new conversation, keyed', buffers: QUICK, work: () => turns.start(newTurn(keyed())) },
    { name: 'start, its key once more', buffers: QUICK, work: () => turns.start(old) },
    {
      name: 'start, next turn',
      buffers: NEXT_TURN,
      work: (round) =>
        turns.start(newTurn({ conversationId: heavy.others[round] as string, newConversation: false })),
    },
    {
      name: 'start, next turn, keyed, behind a running one',
      buffers: NEXT_TURN,
      work: (round) =>
        turns.start(newTurn({ conversationId: busy[round] as string, newConversation: false, ...keyed() })),
    },
    {
      name: 'start, next turn, refused as busy',
      buffers: QUICK,
      work: (round) =>
        turns.start(
          newTurn({ conversationId: busy[round] as string, newConversation: false, ifBusy: 'reject' }),
        ),
    },
    {
      name: 'start, next turn, interrupting',
      buffers: NEXT_TURN + 2 * ROW,
      work: (round) =>
        turns.start(
          newTurn({
            conversationId: busy[20 + round] as string,
            newConversation: false,
            ifBusy: 'interrupt',
          }),
        ),
    },
    {
      name: 'retry of the last turn',
      buffers: NEXT_TURN + 2 * ROW,
      work: () =>
        turns.start(
          newTurn({
            newConversation: false,
            retryOf: heavy.lastRunIds.shift() as string,
            ifBusy: 'interrupt',
          }),
        ),
    },
    {
      name: 'edit of an early turn',
      buffers: NEXT_TURN + 10 * ROW,
      work: () =>
        turns.start(
          newTurn({
            conversationId: heavy.edited.shift() as string,
            newConversation: false,
            editFrom: 2,
            lastPosition: 5,
            ifBusy: 'interrupt',
          }),
        ),
    },
    {
      name: 'fork',
      buffers: NEXT_TURN + 10 * ROW,
      work: () =>
        conversations.fork(HEAVY_USER, heavy.conversationId, heavy.messageIds.at(-1) as string, randomUUID()),
    },
    { name: 'knowsKey', buffers: QUICK, work: () => turns.knowsKey(HEAVY_USER, 'key-10') },
    { name: 'context of a turn', buffers: QUICK, work: () => turns.context(heavy.conversationId, 6) },
    { name: 'states of 100 dispatches', buffers: 5 * BATCH, work: () => turns.states(heavy.turnIds) },
    {
      name: 'record',
      buffers: 2 * ROW,
      work: async (n) => turns.record(next(), `run_recorded${n}${randomUUID()}`),
    },
    { name: 'abandon', buffers: 2 * ROW, work: async () => turns.abandon(next()) },
    { name: 'remove', buffers: ROW, work: async () => turns.remove(next()) },
    {
      name: 'adopt',
      buffers: 3 * ROW,
      work: () =>
        turns.adopt({
          ...newTurn(keyed()),
          metadata: {},
          agent: 'default',
          runId: `run_adopted${randomUUID()}`,
          input: { message: MESSAGE(), newConversation: false, assistantMessageId: randomUUID() },
          createdAt: new Date(),
        }),
    },
    {
      name: 'create a conversation',
      buffers: QUICK,
      work: () => conversations.create(HEAVY_USER, { id: randomUUID(), title: null, metadata: {} }),
    },
    {
      name: 'patch a conversation',
      buffers: QUICK,
      work: (round) => conversations.patch(HEAVY_USER, heavy.conversationId, { title: `Title ${round}` }),
    },
  ]
}
