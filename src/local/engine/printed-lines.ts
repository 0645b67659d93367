import type { Readable } from 'node:stream'
import { StringDecoder } from 'node:string_decoder'

/** Longer lines are cut: a log line is for reading, and it goes through the engine's memory. */
export const MAX_LINE = 8192
/** What one run may print; the rest is dropped. */
const MAX_LINES = 1_000
const MAX_CHARACTERS = 1024 * 1024

export const DROPPED = `the run printed more than ${MAX_LINES} lines or 1 MiB: the rest is not logged`

/** Bounds what one run prints. */
export class PrintBudget {
  #lines = 0
  #characters = 0

  /** Another run begins. */
  reset(): void {
    this.#lines = 0
    this.#characters = 0
  }

  /** The line as it is logged: cut, replaced by a sentence when it is the first one too many, undefined after that. */
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

/** Calls `onLine` for each line of a stream. What a line has beyond MAX_LINE is dropped as it arrives. */
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
