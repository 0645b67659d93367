import type { LanguageModelV4 } from '@ai-sdk/provider'
import { APICallError, wrapLanguageModel } from 'ai'
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

/**
 * A redirect is not followed: it would take the key of the provider to another host. A page is no answer: it comes
 * from something between here and the provider, or from a wrong address.
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
