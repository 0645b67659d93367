/** Control characters, except tabs and line breaks: a terminal would take them for commands. */
const CONTROLS = /[\p{Cc}\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu

export const printable = (text: string): string =>
  text.replace(CONTROLS, (character) => ('\n\t'.includes(character) ? character : ''))

/** The output of the program. It knows whether the last line is open, so that notes begin on a line of their own. */
export class Screen {
  readonly #output: NodeJS.WritableStream & { isTTY?: boolean }
  #isLineOpen = false

  constructor(output: NodeJS.WritableStream & { isTTY?: boolean }) {
    this.#output = output
  }

  /** A piece of the answer, as it comes. */
  write(text: string): void {
    const clean = printable(text)
    if (clean === '') return
    this.#output.write(clean)
    this.#isLineOpen = !clean.endsWith('\n')
  }

  /** A line of its own. */
  line(text: string): void {
    this.#output.write(`${this.#isLineOpen ? '\n' : ''}${printable(text)}\n`)
    this.#isLineOpen = false
  }

  /** A line about the answer, paler than the answer itself. */
  note(text: string): void {
    const [dim, plain] = this.#output.isTTY === true ? ['\u001b[2m', '\u001b[22m'] : ['', '']
    this.#output.write(`${this.#isLineOpen ? '\n' : ''}${dim}[${printable(text)}]${plain}\n`)
    this.#isLineOpen = false
  }
}
