import type { LanguageModelV4, LanguageModelV4Middleware } from '@ai-sdk/provider'
import { APICallError } from 'ai'
import { classify } from '../classify.ts'
import { FAILURES } from '../failure.ts'
import { fitPrompt } from '../prompt.ts'

/** Gives the model a prompt that its provider takes. */
export const fitting: LanguageModelV4Middleware = {
  specificationVersion: 'v4',
  transformParams: async ({ params }) => ({ ...params, prompt: fitPrompt(params.prompt) }),
}

/** The AI SDK repeats every call that was answered with 429, one whose budget is used up included. */
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
 * Some servers refuse `stream_options`, by which a stream is asked to count its tokens: the call is repeated once
 * without it, and so is every later call of the turn. The tokens are estimated then.
 * @param plain the same model, which does not ask
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
