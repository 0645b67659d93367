/** Characters of a text in an answer that repeats what the caller sent. */
const MAX_LENGTH = 512

/** A text of an answer, cut to a bound in whole characters, with a mark where it went on. */
export const shortened = (text: string): string =>
  text.length <= MAX_LENGTH ? text : `${text.slice(0, MAX_LENGTH).toWellFormed()}…`
