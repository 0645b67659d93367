import type { LanguageModelV4 } from '@ai-sdk/provider'
import { wrapLanguageModel } from 'ai'
import type { ModelSettings } from '../settings.ts'
import { fitting, usageWhereAllowed, withoutVainRetries } from './middleware.ts'

/**
 * A model by its provider's own package, which is loaded when it is named. Address and key are always given, even
 * empty: the packages would look into the environment for what is absent, and could find another provider's.
 */
export async function loadModel(settings: ModelSettings): Promise<LanguageModelV4> {
  const { model, baseUrl, apiKey = '', headers = {} } = settings
  const options = { baseURL: baseUrl, apiKey, headers, fetch: fetchHere }
  switch (settings.provider) {
    case 'openai': {
      const { createOpenAI } = await import('@ai-sdk/openai')
      return fitted(createOpenAI(options).responses(model))
    }
    case 'anthropic': {
      const { createAnthropic } = await import('@ai-sdk/anthropic')
      return fitted(createAnthropic(options)(model))
    }
    case 'google': {
      const { createGoogleGenerativeAI } = await import('@ai-sdk/google')
      return fitted(createGoogleGenerativeAI(options)(model))
    }
    case 'compatible': {
      const { createOpenAICompatible } = await import('@ai-sdk/openai-compatible')
      const { apiKey: key, ...others } = options
      const server = { ...others, name: 'compatible', ...(key ? { apiKey: key } : {}) }
      const plain = createOpenAICompatible(server)(model)
      const counting = createOpenAICompatible({ ...server, includeUsage: true })(model)
      return fitted(wrapLanguageModel({ model: counting, middleware: usageWhereAllowed(plain) }))
    }
  }
}

function fitted(model: LanguageModelV4): LanguageModelV4 {
  return wrapLanguageModel({ model, middleware: [fitting, withoutVainRetries] })
}

/** A redirect is not followed: it would take the key of the provider to another host. */
const fetchHere: typeof fetch = (input, init) => fetch(input, { ...init, redirect: 'manual' })
