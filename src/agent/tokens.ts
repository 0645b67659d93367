export const CHARACTERS_PER_TOKEN = 4

/** Rough number of tokens of a text: four characters each, the usual rule of thumb for English. */
export function estimateTokens(characters: number): number {
  return Math.ceil(characters / CHARACTERS_PER_TOKEN)
}
