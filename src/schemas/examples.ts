import type { Static } from '@sinclair/typebox'
import type { Run } from './run.ts'

type RunView = Static<typeof Run>

const runId = 'run_cmwrkineh0003z47dikyv7w07'
const conversationId = '0198c5a2-7d3e-7b1a-9f00-3f2a1c4d5e6f'
const messageId = '0198c5a2-7d3f-7c66-b0a4-91d7be20c355'
const createdAt = '2026-11-23T09:16:00.275Z'
const startedAt = '2026-11-23T09:16:00.442Z'
const finishedAt = '2026-11-23T09:16:02.108Z'
const base = { runId, conversationId, agent: 'default', createdAt, metadata: {} }

/** A poll in every status, for the API description. */
export const RUN_EXAMPLES: Record<RunView['status'], { summary: string; value: RunView }> = {
  queued: {
    summary: 'Waiting behind another run of the conversation',
    value: { ...base, status: 'queued', queue: { position: 1, ahead: ['run_cmwrkj12k000xz47dgmoqnuet'] } },
  },
  running: { summary: 'The agent is at work', value: { ...base, status: 'running', startedAt } },
  completed: {
    summary: 'The answer is there',
    value: {
      ...base,
      status: 'completed',
      startedAt,
      finishedAt,
      finishReason: 'stop',
      steps: 2,
      model: 'claude-sonnet-5',
      usage: { inputTokens: 61, outputTokens: 24, totalTokens: 85 },
      timings: { queuedMs: 150, firstTokenMs: 420, durationMs: 1660 },
      messageId,
      text: '17 * 23 = 391.',
      messages: [
        { role: 'user', content: [{ type: 'text', text: 'What is 17 * 23?' }] },
        { role: 'assistant', content: [{ type: 'text', text: '17 * 23 = 391.' }] },
      ],
      toolCalls: [],
    },
  },
  failed: {
    summary: 'The model provider was busy',
    value: {
      ...base,
      status: 'failed',
      startedAt,
      finishedAt,
      error: 'The model provider is limiting requests at the moment.',
      errorCode: 'provider_rate_limited',
      retryable: true,
      messageId,
      text: '17 * 23',
    },
  },
  cancelled: {
    summary: 'Stopped in mid-sentence',
    value: {
      ...base,
      status: 'cancelled',
      startedAt,
      finishedAt,
      cancelRequestedAt: '2026-11-23T09:16:01.990Z',
      messageId,
      text: 'Once upon a time',
    },
  },
}
