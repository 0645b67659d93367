/** Most characters of a text that an answer repeats from its request. */
const MAX_LENGTH = 512

/** Cuts a text of an answer after a bounded number of whole characters, and marks the cut. */
export const shortened = (text: string): string =>
  text.length <= MAX_LENGTH ? text : `${text.slice(0, MAX_LENGTH).toWellFormed()}…`
