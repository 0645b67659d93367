import type { Readable } from 'node:stream'
import { StringDecoder } from 'node:string_decoder'

/** A longer line is cut, because every line goes through the memory of the engine. */
export const MAX_LINE = 8192
/** The bounds of what one run may print. The rest is dropped. */
const MAX_LINES = 1_000
const MAX_CHARACTERS = 1024 * 1024

export const DROPPED = `the run printed more than ${MAX_LINES} lines or 1 MiB: the rest is not logged`

/** Bounds what one run prints. */
export class PrintBudget {
  #lines = 0
  #characters = 0

  /** Starts a new budget for the next run. */
  reset(): void {
    this.#lines = 0
    this.#characters = 0
  }

  /** The text to log: the cut line, or a sentence for the first line beyond the budget. Undefined for the lines after it. */
  take(line: string): string | undefined {
    if (this.#lines > MAX_LINES) return undefined
    this.#lines++
    const text = line.slice(0, MAX_LINE)
    this.#characters += text.length
    if (this.#lines <= MAX_LINES && this.#characters <= MAX_CHARACTERS) return text
    this.#lines = MAX_LINES + 1
    return DROPPED
  }
}

/** Calls `onLine` for each line of a stream. The characters of a line beyond MAX_LINE are dropped as they arrive. */
export function readLines(stream: Readable, onLine: (line: string) => void): void {
  const decoder = new StringDecoder('utf8')
  let line = ''
  const end = () => {
    onLine(line.endsWith('\r') ? line.slice(0, -1) : line)
    line = ''
  }
  stream.on('data', (bytes: Buffer) => {
    const [first = '', ...more] = decoder.write(bytes).split('\n')
    line += first.slice(0, MAX_LINE - line.length)
    for (const next of more) {
      end()
      line = next.slice(0, MAX_LINE)
    }
  })
  stream.once('end', () => {
    if (line !== '') end()
  })
}
