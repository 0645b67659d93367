import type { UIMessageChunk } from 'ai'
import { runTurn, type TurnSurroundings } from '../../src/agent/run-turn.ts'
import { type AgentSettings, readAgentSettings } from '../../src/agent/settings.ts'
import { type AgentTurn, PAYLOAD_VERSION, type TurnMessage } from '../../src/agent/turn.ts'
import { agent } from '../../src/agents/default/agent.ts'

// The AI SDK would print a line for every call of a model whose name it does not know.
globalThis.AI_SDK_LOG_WARNINGS = false

/** Settings of an agent that speaks at once and obeys faults. */
export const settings: AgentSettings = readAgentSettings({
  AGENT_OFFLINE_WORD_MS: '0',
  AGENT_OFFLINE_FAULTS: '1',
})

export function say(role: 'user' | 'assistant', text: string): TurnMessage {
  return { id: `${role}-${text.length}`, role, parts: [{ type: 'text', text }] }
}

export function turnOf(message: string, history: TurnMessage[] = []): AgentTurn {
  return {
    version: PAYLOAD_VERSION,
    turnId: 'turn',
    conversationId: 'conversation',
    message: say('user', message),
    history,
    ahead: [],
    assistantMessageId: 'answer',
  }
}

export type PlayOptions = Partial<Omit<TurnSurroundings, 'settings'>> & { settings?: AgentSettings }

/** Runs a turn and gathers what it writes, and what the operator reads. */
export async function play(turn: AgentTurn, { settings: own = settings, ...context }: PlayOptions = {}) {
  const chunks: UIMessageChunk[] = []
  const lines: string[] = []
  const note = (line: string, fields?: object) => void lines.push(`${line} ${JSON.stringify(fields ?? {})}`)
  const result = await runTurn(turn, {
    agent,
    settings: () => own,
    runId: 'run_1',
    log: { warn: note, error: note },
    signal: new AbortController().signal,
    metadata: {},
    write: (chunk) => {
      chunks.push(chunk)
    },
    ...context,
  })
  return { chunks, result, lines, text: textOf(chunks) }
}

export function textOf(chunks: UIMessageChunk[]): string {
  return chunks.map((chunk) => (chunk.type === 'text-delta' ? chunk.delta : '')).join('')
}
