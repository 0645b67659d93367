import type { LanguageModelV4StreamPart } from '@ai-sdk/provider'

/**
 * Makes the ids of a turn's tool calls unique, because the stream and the tools' idempotency keys tell calls apart by
 * id. Some servers number their calls from 0 in every answer: a call whose id an earlier step has used gets a new one.
 */
export function createCallIds() {
  const used = new Set<string>()

  /** Renames the tool calls in the stream of one step. */
  return (): TransformStream<LanguageModelV4StreamPart, LanguageModelV4StreamPart> => {
    const own = new Map<string, string>()
    const idOf = (id: string): string => {
      const known = own.get(id)
      if (known !== undefined) return known
      let unused = id
      for (let n = 2; used.has(unused); n++) unused = `${id}_${n}`
      used.add(unused)
      own.set(id, unused)
      return unused
    }
    return new TransformStream({
      transform(part, controller) {
        switch (part.type) {
          case 'tool-input-start':
          case 'tool-input-delta':
          case 'tool-input-end':
            return controller.enqueue({ ...part, id: idOf(part.id) })
          case 'tool-call':
          case 'tool-result':
            return controller.enqueue({ ...part, toolCallId: idOf(part.toolCallId) })
          default:
            controller.enqueue(part)
        }
      },
    })
  }
}
