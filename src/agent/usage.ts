import type { LanguageModelUsage, ModelMessage, TextStreamPart, ToolSet } from 'ai'
import { estimateTokens } from './tokens.ts'
import type { TurnUsage } from './turn.ts'

export type UsageMeter = ReturnType<typeof createUsageMeter>

/**
 * Adds up the tokens of a turn over its steps. A step that broke off, or whose provider counted nothing, is
 * estimated from its texts, so that stopped and failed turns have a usage too.
 */
export function createUsageMeter(model: string) {
  const settled = { inputTokens: 0, outputTokens: 0 }
  let estimated = false
  let said = 0
  let context = 0
  let open = false

  const settle = (usage?: LanguageModelUsage) => {
    estimated ||= usage?.inputTokens === undefined || usage.outputTokens === undefined
    settled.inputTokens += usage?.inputTokens ?? estimateTokens(context)
    settled.outputTokens += usage?.outputTokens ?? estimateTokens(said)
    context += said
    said = 0
    open = false
  }

  return {
    begin(messages: ModelMessage[]): void {
      context = JSON.stringify(messages).length
    },
    observe(part: TextStreamPart<ToolSet>): void {
      if (part.type === 'start-step') open = true
      if (part.type === 'text-delta' || part.type === 'reasoning-delta') said += part.text.length
      if (part.type === 'tool-call') said += JSON.stringify(part.input ?? '').length
      if (part.type === 'tool-result') context += JSON.stringify(part.output ?? '').length
      if (part.type === 'finish-step') settle(part.usage)
    },
    /** The usage so far, the unfinished step included. */
    total(): TurnUsage {
      if (open) settle()
      const totalTokens = settled.inputTokens + settled.outputTokens
      return { ...settled, totalTokens, model, ...(estimated ? { estimated } : {}) }
    },
  }
}
