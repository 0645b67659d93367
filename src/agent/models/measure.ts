import type { LanguageModelV4, LanguageModelV4StreamPart } from '@ai-sdk/provider'
import { sizeOf } from '../window/size.ts'

export interface MeasureOptions {
  /** Called before a prompt is sent. */
  onSend(characters: number): void
  /** Called when the provider has counted the tokens of a prompt; undefined when it does not count. */
  onCount(characters: number, inputTokens: number | undefined): void
}

/** The same model, which tells how long its prompts are and how many tokens its provider counts. */
export function measured(model: LanguageModelV4, { onSend, onCount }: MeasureOptions): LanguageModelV4 {
  return {
    ...model,
    doStream: async (call) => {
      const characters = sizeOf(call.prompt) + sizeOf(call.tools ?? [])
      onSend(characters)
      const result = await model.doStream(call)
      const count = new TransformStream<LanguageModelV4StreamPart, LanguageModelV4StreamPart>({
        transform(part, controller) {
          if (part.type === 'finish') onCount(characters, part.usage.inputTokens.total)
          controller.enqueue(part)
        },
      })
      return { ...result, stream: result.stream.pipeThrough(count) }
    },
  }
}
