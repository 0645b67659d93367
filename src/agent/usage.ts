import type { LanguageModelUsage, ModelMessage, TextStreamPart, ToolSet } from 'ai'
import { estimateTokens } from './tokens.ts'
import type { TurnUsage } from './turn.ts'

export type UsageMeter = ReturnType<typeof createUsageMeter>

/**
 * Adds up the tokens of a turn over its steps. A step that broke off, or whose provider counted nothing, is
 * estimated from its texts, so that stopped and failed turns have a usage too.
 */
export function createUsageMeter() {
  const settled = { inputTokens: 0, outputTokens: 0 }
  const details: Pick<TurnUsage, 'cachedInputTokens' | 'reasoningTokens'> = {}
  let estimated = false
  let said = 0
  let context = 0
  let steps = 0
  let open = false

  const add = (usage: LanguageModelUsage | undefined, asked: number, answered: number) => {
    const [input, output] = [counted(usage?.inputTokens), counted(usage?.outputTokens)]
    estimated ||= input === undefined || output === undefined
    settled.inputTokens += input ?? estimateTokens(asked)
    settled.outputTokens += output ?? estimateTokens(answered)
    addDetail('cachedInputTokens', counted(usage?.inputTokenDetails?.cacheReadTokens))
    addDetail('reasoningTokens', counted(usage?.outputTokenDetails?.reasoningTokens))
  }
  const settle = (usage?: LanguageModelUsage) => {
    add(usage, context, said)
    context += said
    said = 0
    open = false
  }
  const addDetail = (name: keyof typeof details, tokens: number | undefined) => {
    if (tokens !== undefined) details[name] = (details[name] ?? 0) + tokens
  }

  return {
    begin(messages: ModelMessage[]): void {
      context = JSON.stringify(messages).length
    },
    observe(part: TextStreamPart<ToolSet>): void {
      if (part.type === 'start-step') {
        open = true
        steps += 1
      }
      if (part.type === 'text-delta' || part.type === 'reasoning-delta') said += part.text.length
      if (part.type === 'tool-call') said += JSON.stringify(part.input ?? '').length
      if (part.type === 'tool-result' && !part.preliminary)
        context += JSON.stringify(part.output ?? '').length
      if (part.type === 'finish-step') settle(part.usage)
    },
    /** Adds a call of the model that is no step of the answer. What its provider did not count is estimated. */
    add,
    /** Whether a step has begun and not ended. */
    get isOpen(): boolean {
      return open
    },
    /** Tokens so far, with an estimate of the unfinished step. */
    sofar(): number {
      const step = open ? estimateTokens(context) + estimateTokens(said) : 0
      return settled.inputTokens + settled.outputTokens + step
    },
    /** Calls of the model so far, the unfinished one included. */
    get steps(): number {
      return steps
    },
    /** The usage so far, the unfinished step included. */
    total(): TurnUsage {
      if (open) settle()
      const totalTokens = settled.inputTokens + settled.outputTokens
      return { ...settled, totalTokens, ...details, ...(estimated ? { estimated } : {}) }
    },
  }
}

/** More tokens than one model call can have. The bound is low enough for a report to add up many calls. */
const MOST = 1e12

/** The count of tokens that a provider sent; undefined when the value is no count, so that the answer is not lost. */
function counted(tokens: number | undefined): number | undefined {
  return Number.isInteger(tokens) && Number(tokens) >= 0 && Number(tokens) <= MOST ? tokens : undefined
}
