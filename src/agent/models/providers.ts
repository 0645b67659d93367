import type { LanguageModelV4 } from '@ai-sdk/provider'
import { APICallError, wrapLanguageModel } from 'ai'
import type { ModelSettings } from '../settings.ts'
import { fitting, usageWhereAllowed, withoutFormat, withoutVainRetries } from './middleware.ts'

/**
 * Makes a model with its provider's own package, which is loaded on demand. The package always gets an address and a
 * key, if need be an empty one: it reads an absent key from the environment, which may hold another provider's key.
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
      const google = createGoogleGenerativeAI(options)(model)
      // Google refuses JSON beside tools from models other than Gemini. The package knows which Gemini takes it.
      const takesFormat = /(^|\/)gemini-/i.test(model)
      return fitted(takesFormat ? google : wrapLanguageModel({ model: google, middleware: withoutFormat }))
    }
    case 'compatible': {
      const { createOpenAICompatible } = await import('@ai-sdk/openai-compatible')
      const { apiKey: key, ...others } = options
      const server = { ...others, name: 'compatible', ...(key ? { apiKey: key } : {}) }
      const plain = createOpenAICompatible(server)(model)
      const counting = createOpenAICompatible({ ...server, includeUsage: true })(model)
      const middleware = [withoutFormat, usageWhereAllowed(plain)]
      return fitted(wrapLanguageModel({ model: counting, middleware }))
    }
  }
}

function fitted(model: LanguageModelV4): LanguageModelV4 {
  return wrapLanguageModel({ model, middleware: [fitting, withoutVainRetries] })
}

/**
 * Follows no redirect, because a redirect would take the provider's key to another host. Refuses an HTML page, because
 * a page comes from a proxy in front of the provider or from a wrong address.
 */
const fetchHere: typeof fetch = async (input, init) => {
  const response = await fetch(input, { ...init, redirect: 'manual' })
  const isPage = /^text\/html\b/i.test(response.headers.get('content-type') ?? '')
  if (!response.ok || !isPage) return response
  await response.body?.cancel()
  throw new APICallError({
    message: 'A page of HTML instead of an answer',
    url: input instanceof Request ? input.url : String(input),
    requestBodyValues: {},
    statusCode: response.status,
    isRetryable: false,
  })
}
