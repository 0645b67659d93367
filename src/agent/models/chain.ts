import type {
  LanguageModelV4,
  LanguageModelV4CallOptions,
  LanguageModelV4StreamResult,
} from '@ai-sdk/provider'
import { classify } from '../classify.ts'
import type { FailureCode } from '../failure.ts'
import { createCallIds } from './call-ids.ts'
import { openStream } from './opening.ts'

/** Failures after which another model may do better. */
const PASSING = new Set<FailureCode>([
  'provider_unreachable',
  'provider_rate_limited',
  'provider_overloaded',
  'model_timeout',
])

export interface ChainOptions {
  /** Milliseconds until the first word of a model. */
  firstWordMs: number
  /** Is told which model is asked. */
  onAsk(modelId: string): void
  /** Is told that a model failed and the next one is asked. */
  onFailure(failed: string, next: string, error: unknown): void
}

/**
 * One model made of several: the next one is asked when a model is unreachable, rate-limited, overloaded or silent
 * before its first word. The model that answered also answers the later steps of the turn: the thoughts that it
 * signed mean nothing to another.
 */
export function createChain(models: LanguageModelV4[], options: ChainOptions): LanguageModelV4 {
  const [first] = models
  if (first === undefined) throw new Error('A chain has at least one model.')
  const uniqueIds = createCallIds()
  let current = 0

  /** @throws what the first model of this call said, when none could answer: it is the one that was meant */
  const ask = async (call: LanguageModelV4CallOptions): Promise<LanguageModelV4StreamResult> => {
    const start = current
    const problems: unknown[] = []
    for (;;) {
      const model = models[current] ?? first
      const next = models[current + 1]
      const isPassing = (error: unknown) => !call.abortSignal?.aborted && PASSING.has(classify(error))
      options.onAsk(model.modelId)
      try {
        const { result, failure, cancel } = await openStream(model, call, options.firstWordMs)
        if (failure === undefined || next === undefined || !isPassing(failure.error)) return result
        problems.push(failure.error)
        await cancel()
      } catch (error) {
        problems.push(error)
        if (next === undefined || !isPassing(error)) {
          current = start
          throw problems[0]
        }
      }
      options.onFailure(model.modelId, next.modelId, problems.at(-1))
      current += 1
    }
  }

  return {
    specificationVersion: 'v4',
    provider: first.provider,
    modelId: first.modelId,
    supportedUrls: first.supportedUrls,
    doGenerate: (call) => first.doGenerate(call),
    doStream: async (call) => {
      const result = await ask(call)
      return { ...result, stream: result.stream.pipeThrough(uniqueIds()) }
    },
  }
}
