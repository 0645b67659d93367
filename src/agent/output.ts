import { head } from './clean.ts'
import type { TurnMessage, TurnOutput } from './turn.ts'

const LIMIT_BYTES = 120 * 1024
const KB = 1024
const CUT_TEXT = '\n\n[The rest of this answer was too long to be kept.]'

type Part = TurnMessage['parts'][number]

/** Characters that a part may keep; what is not named stays whole. */
interface Limits {
  output?: number
  input?: number
  reasoning?: number
  text?: number
}

const BESIDE_TEXT: Limits = { output: 100, input: 100, reasoning: 100 }
/** From level to level more is cut; the answer itself comes last. */
const LEVELS: Limits[] = [
  {},
  ...[32, 8, 1].map((kb) => ({ output: kb * KB })),
  { output: 100, input: KB, reasoning: KB },
  ...[100, 64, 32, 16, 4, 1].map((kb) => ({ ...BESIDE_TEXT, text: kb * KB })),
]

/**
 * Cuts what a run returns until it fits into 120 KiB as JSON; from 128 KiB on the engine needs an object store.
 * Where that took words of the answer it says so: `textCut`.
 */
export function fitOutput(output: TurnOutput): TurnOutput {
  for (const limits of LEVELS) {
    const fitted = withParts(
      output,
      output.uiMessage.parts.map((part) => cutPart(part, limits)),
    )
    if (output.uiMessage.parts.some((part) => part.type === 'text' && isTooLong(part.text, limits.text)))
      fitted.textCut = true
    if (Buffer.byteLength(JSON.stringify(fitted)) <= LIMIT_BYTES) return fitted
  }
  return { ...withParts(output, [{ type: 'text', text: CUT_TEXT.trim() }]), textCut: true }
}

/** The message as an output would have it. */
export function fitMessage(uiMessage: TurnMessage): TurnMessage {
  const usage = { inputTokens: 0, outputTokens: 0, totalTokens: 0 }
  return fitOutput({ uiMessage, usage, finishReason: '' }).uiMessage
}

/** The message with its whole text, and beside that no more than an output has whose text had to be cut. */
export function cutBesideText(message: TurnMessage): TurnMessage {
  return { ...message, parts: message.parts.map((part) => cutPart(part, BESIDE_TEXT)) }
}

function withParts(output: TurnOutput, parts: Part[]): TurnOutput {
  return { ...output, uiMessage: { ...output.uiMessage, parts } }
}

function cutPart(part: Part, limits: Limits): Part {
  if (part.type === 'text') return { ...part, text: cutText(part.text, limits.text) }
  if (part.type === 'reasoning') return { ...part, text: cutText(part.text, limits.reasoning) }
  const cut: Record<string, unknown> = { ...part }
  if ('output' in cut) cut.output = cutJson(cut.output, limits.output)
  if ('input' in cut) cut.input = cutJson(cut.input, limits.input)
  return cut as Part
}

function cutText(text: string, limit = Number.POSITIVE_INFINITY): string {
  return isTooLong(text, limit) ? head(text, limit) + CUT_TEXT : text
}

const isTooLong = (text: string, limit = Number.POSITIVE_INFINITY): boolean => text.length > limit

/** A value beyond the limit becomes a text: the beginning of its JSON, and how long that was. */
export function cutJson(value: unknown, limit = Number.POSITIVE_INFINITY): unknown {
  const json = JSON.stringify(value) ?? ''
  return json.length > limit ? `${head(json, limit)}… [cut: ${json.length} characters]` : value
}
