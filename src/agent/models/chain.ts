import type {
  LanguageModelV4,
  LanguageModelV4CallOptions,
  LanguageModelV4StreamResult,
} from '@ai-sdk/provider'
import { classify } from '../classify.ts'
import type { FailureCode } from '../failure.ts'
import { EVERY_ADDRESS } from '../files.ts'
import { createCallIds } from './call-ids.ts'
import { openStream } from './opening.ts'

/** Failures after which another model may be able to answer. */
const PASSING = new Set<FailureCode>([
  'provider_unreachable',
  'provider_rate_limited',
  'provider_overloaded',
  'model_timeout',
])

export interface ChainOptions {
  /** Milliseconds within which a model has to send its first word. */
  firstWordMs: number
  /**
   * The chain calls this function before it asks a model. When no model could answer, the chain calls it once more with
   * the model whose error it throws.
   */
  onAsk(modelId: string): void
  /** The chain calls this function when a model has failed and before it asks the next one. */
  onFailure(failed: string, next: string, error: unknown): void
}

/**
 * Joins several models into one: the next model is asked when a model is unreachable, rate-limited, overloaded or
 * silent before its first word. The model that answered also makes the later steps of the turn, because no other model
 * accepts the reasoning that it has signed.
 */
export function createChain(models: LanguageModelV4[], options: ChainOptions): LanguageModelV4 {
  const [first] = models
  if (first === undefined) throw new Error('A chain has at least one model.')
  const uniqueIds = createCallIds()
  let current = 0

  /** @throws the error of the first model of this call, when no model could answer */
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
          options.onAsk((models[start] ?? first).modelId)
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
    supportedUrls: EVERY_ADDRESS,
    doGenerate: (call) => first.doGenerate(call),
    doStream: async (call) => {
      const result = await ask(call)
      return { ...result, stream: result.stream.pipeThrough(uniqueIds()) }
    },
  }
}
