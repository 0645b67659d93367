import type { LanguageModelV4, LanguageModelV4Middleware } from '@ai-sdk/provider'
import { APICallError, UnsupportedFunctionalityError } from 'ai'
import { classify } from '../classify.ts'
import { FAILURES } from '../failure.ts'
import { isOutOfReach, withoutFiles } from '../files.ts'
import { fitPrompt } from '../prompt.ts'

/** Gives the model a prompt that its provider takes. */
export const fitting: LanguageModelV4Middleware = {
  specificationVersion: 'v4',
  transformParams: async ({ params, model }) => {
    const isRefused = isOutOfReach(await model.supportedUrls)
    return { ...params, prompt: fitPrompt(withoutFiles(params.prompt, isRefused)) }
  },
  wrapStream: async ({ doStream, params, model }) => {
    try {
      return await doStream()
    } catch (error) {
      // The provider's package throws this error before it calls. Only the package knows which files a model takes.
      if (!UnsupportedFunctionalityError.isInstance(error)) throw error
      return model.doStream({ ...params, prompt: fitPrompt(withoutFiles(params.prompt, () => true)) })
    }
  },
}

/**
 * Sends no response format to models that refuse it, or refuse it beside tools; of OpenAI-compatible servers, this is
 * not known. The instructions name the form, and the answer is checked.
 */
export const withoutFormat: LanguageModelV4Middleware = {
  specificationVersion: 'v4',
  transformParams: async ({ params: { responseFormat: _, ...params } }) => params,
}

/** Keeps the AI SDK from repeating calls that cannot succeed, such as one that got 429 for a used-up budget. */
export const withoutVainRetries: LanguageModelV4Middleware = {
  specificationVersion: 'v4',
  wrapStream: async ({ doStream }) => {
    try {
      return await doStream()
    } catch (error) {
      if (!APICallError.isInstance(error) || !error.isRetryable) throw error
      if (FAILURES[classify(error)].retryable) throw error
      throw new APICallError({ ...error, message: error.message, cause: error.cause, isRetryable: false })
    }
  },
}

/**
 * Some servers refuse `stream_options`, which asks a stream to count its tokens. The refused call is repeated without
 * it, later calls of the turn are made without it, and the tokens are estimated.
 * @param plain the same model, without `stream_options`
 */
export function usageWhereAllowed(plain: LanguageModelV4): LanguageModelV4Middleware {
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
