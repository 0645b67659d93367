import { randomUUID } from 'node:crypto'
import { setImmediate, setTimeout } from 'node:timers/promises'
import type { LanguageModelV4StreamPart, LanguageModelV4Usage } from '@ai-sdk/provider'
import { estimateTokens } from '../tokens.ts'
import type { Plan } from './plan.ts'

export interface Pace {
  /** Milliseconds per word. */
  wordMs: number
  signal: AbortSignal | undefined
}

/** Speaks a plan word by word as the parts of a model's stream. Rejects with the signal's reason when it aborts. */
export async function* speak(
  plan: Plan,
  promptLength: number,
  pace: Pace,
): AsyncGenerator<LanguageModelV4StreamPart> {
  yield { type: 'stream-start', warnings: [] }
  yield { type: 'response-metadata', id: randomUUID(), modelId: 'offline', timestamp: new Date() }
  yield* block('reasoning', plan.reasoning, pace)
  yield* block('text', plan.text, pace)
  for (const { toolName, input } of plan.calls ?? []) {
    yield { type: 'tool-call', toolCallId: `call_${randomUUID()}`, toolName, input: JSON.stringify(input) }
  }
  const unified = plan.finishReason ?? (plan.calls ? 'tool-calls' : 'stop')
  yield { type: 'finish', finishReason: { unified, raw: unified }, usage: usage(plan, promptLength) }
}

async function* block(
  kind: 'text' | 'reasoning',
  text: string | undefined,
  pace: Pace,
): AsyncGenerator<LanguageModelV4StreamPart> {
  if (!text) return
  const id = `${kind}-0`
  yield { type: `${kind}-start`, id }
  let spoken = 0
  for (const delta of text.match(/\s*\S+\s*$|\s*\S+/g) ?? [text]) {
    yield { type: `${kind}-delta`, id, delta }
    await pause(++spoken, pace)
  }
  yield { type: `${kind}-end`, id }
}

/** Waits after a word. Without a delay, every hundredth word lets the event loop run, so that an abort is noticed. */
async function pause(spoken: number, { wordMs, signal }: Pace): Promise<void> {
  if (wordMs > 0) await setTimeout(wordMs, undefined, signal ? { signal } : {})
  else if (spoken % 100 === 0) await setImmediate()
  signal?.throwIfAborted()
}

function usage({ text = '', reasoning = '', calls = [] }: Plan, promptLength: number): LanguageModelV4Usage {
  const input = estimateTokens(promptLength)
  const said = estimateTokens(text.length + JSON.stringify(calls).length - 2)
  const thought = estimateTokens(reasoning.length)
  return {
    inputTokens: { total: input, noCache: input, cacheRead: 0, cacheWrite: 0 },
    outputTokens: { total: said + thought, text: said, reasoning: thought },
  }
}
