import type { LanguageModelV4 } from '@ai-sdk/provider'
import { type ModelMessage, wrapLanguageModel } from 'ai'
import type { ResponseFormat, TurnMessage } from '../turn.ts'
import { answerCheck } from './answer-schema.ts'
import { lastText, readJson } from './answer-text.ts'

/** The form that an answer must have. */
export interface AnswerForm {
  /** What the instructions say about the form. */
  instructions: string
  /** The model, asked for this form in the way of its provider. */
  asking(model: LanguageModelV4): LanguageModelV4
  /** The message that asks for another answer; undefined when the answer has the form. */
  repair(parts: TurnMessage['parts']): ModelMessage | undefined
}

export function createAnswerForm({ name, schema }: ResponseFormat): AnswerForm {
  const check = answerCheck(schema)
  const told = JSON.stringify(schema)
  const responseFormat = { type: 'json' as const, name, schema }
  return {
    instructions: `When you have all that you need, answer with one JSON object that fits this JSON Schema, without any word or mark before or after it:\n${told}`,
    asking: (model) =>
      wrapLanguageModel({
        model,
        middleware: {
          specificationVersion: 'v4',
          transformParams: async ({ params }) => ({ ...params, responseFormat }),
        },
      }),
    repair(parts) {
      const read = readJson(lastText(parts))
      const faults = read === undefined ? ['It is not JSON.'] : check(read.value)
      if (faults.length === 0) return undefined
      const content = `Your answer does not have the form that was asked for. ${faults.join(' ')} Answer again, with the JSON object and nothing else. It must fit this JSON Schema:\n${told}`
      return { role: 'user', content }
    },
  }
}
