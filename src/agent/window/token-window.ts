import { CHARACTERS_PER_TOKEN } from '../tokens.ts'

/** The part of the window that prompts use. The rest is for what the estimate misses. */
const USED = 0.9
/** Bounds of the ratio. A provider that counts wrongly must not make every prompt too long or empty. */
const RATIO = { least: 0.3, most: 6 }
/** Prompts with fewer tokens tell little about the ratio. */
const TELLING_TOKENS = 50

export type TokenWindow = ReturnType<typeof createTokenWindow>

/**
 * Measures prompts in tokens: estimated from their characters, by the ratio that the provider's own count has shown.
 * @param tokens tokens that one prompt may have; unlimited when undefined
 * @param known the ratio of the conversation's last prompt
 */
export function createTokenWindow(tokens: number | undefined, known: number | undefined) {
  let limit = tokens ?? Number.POSITIVE_INFINITY
  let ratio = bounded(known ?? CHARACTERS_PER_TOKEN)
  let learned = known
  let last = 0
  return {
    /** Characters that a prompt may have. */
    get room(): number {
      return limit * ratio * USED
    },
    /** Notes that a prompt is sent. */
    sends(characters: number): void {
      last = characters
    },
    /** Takes the provider's count of a prompt. */
    counted(characters: number, inputTokens: number | undefined): void {
      if (inputTokens === undefined || inputTokens < TELLING_TOKENS) return
      ratio = bounded(characters / inputTokens)
      learned = ratio
    },
    /** Halves the window, because the provider has refused the last prompt as too long. */
    halve(): void {
      limit = Math.min(limit, last / ratio) / 2
    },
    /** The ratio as far as a provider has shown it. */
    get learned(): number | undefined {
      return learned
    },
  }
}

function bounded(ratio: number): number {
  return Math.min(Math.max(ratio, RATIO.least), RATIO.most)
}
