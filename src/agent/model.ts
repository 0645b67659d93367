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
    ...(apiKey ? { apiKey } : {}),
  })(model)
}
