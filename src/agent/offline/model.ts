import type { LanguageModelV4, LanguageModelV4CallOptions, LanguageModelV4Content } from '@ai-sdk/provider'
import { findFault, planFault, refuse, sabotage } from './faults.ts'
import { speak } from './parts.ts'
import { planReply } from './plan.ts'
import { readPrompt } from './prompt.ts'

export interface OfflineModelOptions {
  /** Milliseconds per word; 0 speaks without a pause. */
  wordMs: number
  /** Whether messages may ask for faults; for tests only. */
  faults: boolean
}

/**
 * A model that needs no network and no key: it answers by rules, calls tools, streams word by word, counts usage
 * by the texts and honours the abort signal. It is the default of development and of the tests.
 */
export function createOfflineModel({ wordMs, faults }: OfflineModelOptions): LanguageModelV4 {
  const answer = (options: LanguageModelV4CallOptions) => {
    const reading = readPrompt(
      options.prompt,
      options.tools?.map(({ name }) => name),
    )
    const fault = faults ? findFault(reading.message) : undefined
    refuse(fault)
    const plan = (fault && planFault(fault, reading)) ?? planReply(reading)
    const pace = { wordMs, signal: options.abortSignal }
    const parts = speak(plan, JSON.stringify(options.prompt).length, pace)
    return fault ? sabotage(parts, fault, pace) : parts
  }
  return {
    specificationVersion: 'v4',
    provider: 'offline',
    modelId: 'offline',
    supportedUrls: {},
    doStream: async (options) => ({ stream: ReadableStream.from(answer(options)) }),
    doGenerate: async (options) => {
      const content: LanguageModelV4Content[] = []
      for await (const part of answer(options)) {
        if (part.type === 'tool-call') content.push(part)
        if (part.type === 'text-start') content.push({ type: 'text', text: '' })
        if (part.type === 'reasoning-start') content.push({ type: 'reasoning', text: '' })
        if (part.type === 'text-delta' || part.type === 'reasoning-delta') {
          const last = content.at(-1)
          if (last?.type === 'text' || last?.type === 'reasoning') last.text += part.delta
        }
        if (part.type === 'error') throw part.error
        if (part.type === 'finish') {
          return { content, finishReason: part.finishReason, usage: part.usage, warnings: [] }
        }
      }
      throw new Error('The offline model ended without a finish part.')
    },
  }
}
