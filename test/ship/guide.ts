import { readFileSync } from 'node:fs'

export interface Snippet {
  language: string
  /** The name in the first line of the code: `// ask.ts`, `# ask.sh: needs curl`. */
  name: string | undefined
  code: string
}

/** The code of a guide in these languages, in its order. */
export function snippetsOf(document: string, languages: readonly string[]): Snippet[] {
  const blocks = readFileSync(document, 'utf8').matchAll(/^```(\w+)\n(.*?)^```$/gms)
  return Array.from(blocks, ([, language = '', code = '']) => ({
    language,
    name: /^(?:\/\/|#) ([\w-]+\.\w+)\b/.exec(code)?.[1],
    code,
  })).filter(({ language }) => languages.includes(language))
}
