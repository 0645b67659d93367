const WORDS: [RegExp, string][] = [
  [/(?<=\d),(?=\d{3}\b)/g, ''],
  [/[×·]|\btimes\b|\bmultiplied by\b|(?<=\d ?)x(?= ?\d)/gi, '*'],
  [/÷|\bdivided by\b/gi, '/'],
  [/−|\bminus\b/gi, '-'],
  [/\bplus\b/gi, '+'],
  [/\*\*|\bto the power of\b/gi, '^'],
]
/**
 * The part before the first digit is bounded, because the search tries each place of a text: without the bound a text
 * of 100,000 brackets would take seconds.
 */
const EXPRESSION = /[-( ]{0,32}\d[\d .+\-*/^%()]*[\d)]/g
const OPERATION = /\d[ )]*[+\-*/^%][ (+-]*\d/
const DATE = /^\d{4}-\d{1,2}-\d{1,2}$|^\d{1,2}\/\d{1,2}\/\d{2,4}$/

/** The longest arithmetic expression in a message, such as "17 * 23" in "What is 17 × 23?". */
export function findExpression(message: string): string | undefined {
  const line = message.replace(/\s+/g, ' ')
  const text = WORDS.reduce((result, [pattern, sign]) => result.replace(pattern, sign), line)
  return (text.match(EXPRESSION) ?? [])
    .map((candidate) => candidate.trim())
    .filter((candidate) => OPERATION.test(candidate) && !DATE.test(candidate))
    .sort((a, b) => b.length - a.length)[0]
}
