import { createOpenAICompatible } from '@ai-sdk/openai-compatible'
import type { LanguageModelV4 } from '@ai-sdk/provider'
import { createOfflineModel } from './offline/model.ts'
import type { AgentSettings } from './settings.ts'

/** The model that answers: the provider of the settings, else the offline model, which needs no network. */
export function selectModel(settings: AgentSettings): LanguageModelV4 {
  if (!settings.provider) return createOfflineModel(settings.offline)
  const { model, baseUrl, apiKey } = settings.provider
  return createOpenAICompatible({
    name: 'openai-compatible',
    baseURL: baseUrl,
    includeUsage: true,
    fetch: fetchWithin(settings.timeouts.firstChunkMs),
    ...(apiKey ? { apiKey } : {}),
  })(model)
}

/** The name of the model that answers, for usage reports. */
export const modelName = ({ provider }: AgentSettings): string => provider?.model ?? 'offline'

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
