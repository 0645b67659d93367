import { head } from './clean.ts'
import type { TurnMessage, TurnOutput } from './turn.ts'

const LIMIT_BYTES = 120 * 1024
const KB = 1024
const CUT_TEXT = '\n\n[The rest of this answer was too long to be kept.]'

type Part = TurnMessage['parts'][number]

/** Characters that each field of a part may keep. A field without a limit stays whole. */
interface Limits {
  output?: number
  input?: number
  reasoning?: number
  text?: number
}

const BESIDE_TEXT: Limits = { output: 100, input: 100, reasoning: 100 }
/** Limits to try in this order, each stricter than the one before. The text of the answer is cut last. */
const LEVELS: Limits[] = [
  {},
  ...[32, 8, 1].map((kb) => ({ output: kb * KB })),
  { output: 100, input: KB, reasoning: KB },
  ...[100, 64, 32, 16, 4, 1].map((kb) => ({ ...BESIDE_TEXT, text: kb * KB })),
]

/**
 * Cuts the output of a run until it fits into 120 KiB as JSON; from 128 KiB on the engine needs an object store.
 * `textCut` is true when text of the answer was cut. The calls for which the turn waits always stay: a worker executes
 * only calls of the answer.
 */
export function fitOutput(output: TurnOutput, bytes = LIMIT_BYTES): TurnOutput {
  for (const limits of LEVELS) {
    const fitted = withParts(
      output,
      output.uiMessage.parts.map((part) => cutPart(part, limits)),
    )
    if (output.uiMessage.parts.some((part) => part.type === 'text' && isTooLong(part.text, limits.text)))
      fitted.textCut = true
    if (Buffer.byteLength(JSON.stringify(fitted)) <= bytes) return fitted
  }
  const waiting = new Set(output.pendingActions?.map(({ toolCallId }) => toolCallId))
  const calls = output.uiMessage.parts.filter((part) => 'toolCallId' in part && waiting.has(part.toolCallId))
  const kept = calls.map((part) => cutPart(part, BESIDE_TEXT))
  return { ...withParts(output, [{ type: 'text', text: CUT_TEXT.trim() }, ...kept]), textCut: true }
}

/** Cuts a message to so many bytes, as `fitOutput` cuts the message of an output. */
export function fitMessage(uiMessage: TurnMessage, bytes = LIMIT_BYTES): TurnMessage {
  const usage = { inputTokens: 0, outputTokens: 0, totalTokens: 0 }
  return fitOutput({ uiMessage, usage, finishReason: '' }, bytes).uiMessage
}

/** Keeps the whole text of a message, and cuts its other fields as far as `fitOutput` ever cuts them. */
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

/** A value whose JSON is longer than the limit becomes a text: the beginning of the JSON, and the JSON's length. */
export function cutJson(value: unknown, limit = Number.POSITIVE_INFINITY): unknown {
  const json = JSON.stringify(value) ?? ''
  return json.length > limit ? `${head(json, limit)}… [cut: ${json.length} characters]` : value
}
