/** Facts about a turn that its stream carries: the ids with the `start` chunk, the rest with the `finish` chunk. */
export interface ChunkMetadata {
  conversationId?: string
  runId?: string
  finishReason?: string
  model?: string
  usage?: { inputTokens: number; outputTokens: number; totalTokens: number }
  [field: string]: unknown
}

interface Block {
  id: string
}
interface ToolCall {
  toolCallId: string
}

/** One chunk of an answer, in the vocabulary of the AI SDK's UI message streams. */
export type Chunk =
  | { type: 'start'; messageId?: string; messageMetadata?: ChunkMetadata }
  | { type: 'start-step' | 'finish-step' | 'reset-step' }
  | ({ type: 'text-start' | 'text-end' | 'reasoning-start' | 'reasoning-end' } & Block)
  | ({ type: 'text-delta' | 'reasoning-delta'; delta: string } & Block)
  | ({ type: 'tool-input-start'; toolName: string; dynamic?: boolean; title?: string } & ToolCall)
  | ({ type: 'tool-input-delta'; inputTextDelta: string } & ToolCall)
  | ({ type: 'tool-input-available'; toolName: string; input: unknown; dynamic?: boolean } & ToolCall)
  | ({ type: 'tool-input-error'; toolName: string; input: unknown; errorText: string } & ToolCall)
  | ({ type: 'tool-output-available'; output: unknown; preliminary?: boolean } & ToolCall)
  | ({ type: 'tool-output-error'; errorText: string } & ToolCall)
  | ({ type: 'tool-output-denied' } & ToolCall)
  | ({ type: 'tool-approval-request'; approvalId: string } & ToolCall)
  | { type: 'tool-approval-response'; approvalId: string; approved: boolean; reason?: string }
  | { type: 'source-url'; sourceId: string; url: string; title?: string }
  | { type: 'source-document'; sourceId: string; mediaType: string; title: string; filename?: string }
  | { type: 'file' | 'reasoning-file'; url: string; mediaType: string }
  | { type: 'message-metadata'; messageMetadata: ChunkMetadata }
  | { type: `data-${string}`; id?: string; data: unknown; transient?: boolean }
  | { type: 'finish'; finishReason?: string; messageMetadata?: ChunkMetadata }
  | { type: 'abort'; reason?: string }
  | { type: 'error'; errorText: string }
