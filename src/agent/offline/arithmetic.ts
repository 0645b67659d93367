const WORDS: [RegExp, string][] = [
  [/(?<=\d),(?=\d{3}\b)/g, ''],
  [/[×·]|\btimes\b|\bmultiplied by\b|(?<=\d\s*)x(?=\s*\d)/gi, '*'],
  [/÷|\bdivided by\b/gi, '/'],
  [/−|\bminus\b/gi, '-'],
  [/\bplus\b/gi, '+'],
  [/\*\*|\bto the power of\b/gi, '^'],
]
const EXPRESSION = /[-(\s]*\d[\d\s.+\-*/^%()]*[\d)]/g
const OPERATION = /\d[\s)]*[+\-*/^%][\s(+-]*\d/
const DATE = /^\d{4}-\d{1,2}-\d{1,2}$|^\d{1,2}\/\d{1,2}\/\d{2,4}$/

/** The longest arithmetic expression in a message, such as "17 * 23" in "What is 17 × 23?". */
export function findExpression(message: string): string | undefined {
  const text = WORDS.reduce((result, [pattern, sign]) => result.replace(pattern, sign), message)
  return (text.match(EXPRESSION) ?? [])
    .map((candidate) => candidate.trim().replace(/\s+/g, ' '))
    .filter((candidate) => OPERATION.test(candidate) && !DATE.test(candidate))
    .sort((a, b) => b.length - a.length)[0]
}
