import { createOpenAICompatible } from '@ai-sdk/openai-compatible'
import type { LanguageModelV4, LanguageModelV4Middleware } from '@ai-sdk/provider'
import { APICallError, wrapLanguageModel } from 'ai'
import { createOfflineModel } from './offline/model.ts'
import { fitPrompt } from './prompt.ts'
import type { AgentSettings } from './settings.ts'

/** The model that answers: the provider of the settings, else the offline model, which needs no network. */
export function selectModel(settings: AgentSettings): LanguageModelV4 {
  if (!settings.provider) return createOfflineModel(settings.offline)
  const { model, baseUrl, apiKey } = settings.provider
  const compatible = (includeUsage: boolean) =>
    createOpenAICompatible({
      name: 'openai-compatible',
      baseURL: baseUrl,
      includeUsage,
      fetch: fetchWithin(settings.timeouts.firstChunkMs),
      ...(apiKey ? { apiKey } : {}),
    })(model)
  const middleware = [fitting, withoutUsageWhereRefused(compatible(false))]
  return wrapLanguageModel({ model: compatible(true), middleware })
}

const fitting: LanguageModelV4Middleware = {
  specificationVersion: 'v4',
  transformParams: async ({ params }) => ({ ...params, prompt: fitPrompt(params.prompt) }),
}

/**
 * Some servers refuse `stream_options`, by which a stream is asked to count its tokens: the call is repeated once
 * without it, and so is every later call of the turn. The tokens are estimated then.
 */
function withoutUsageWhereRefused(plain: LanguageModelV4): LanguageModelV4Middleware {
  let isRefused = false
  return {
    specificationVersion: 'v4',
    wrapStream: async ({ doStream, params }) => {
      if (isRefused) return plain.doStream(params)
      try {
        return await doStream()
      } catch (error) {
        if (!refusesStreamOptions(error)) throw error
        isRefused = true
        return plain.doStream(params)
      }
    },
  }
}

function refusesStreamOptions(error: unknown): boolean {
  if (!APICallError.isInstance(error) || ![400, 422].includes(error.statusCode ?? 0)) return false
  return /stream_options|include_usage/.test(`${error.message} ${error.responseBody}`)
}

/** The AI SDK's own deadlines begin with the response: one that never comes would be waited for without end. */
function fetchWithin(ms: number): typeof fetch {
  return async (input, init) => {
    const late = new AbortController()
    const timer = setTimeout(() => late.abort(new DOMException('No response in time', 'TimeoutError')), ms)
    try {
      return await fetch(input, {
        ...init,
        signal: AbortSignal.any([late.signal, ...(init?.signal ? [init.signal] : [])]),
      })
    } finally {
      clearTimeout(timer)
    }
  }
}
