import { inspect } from 'node:util'
import type { Failure } from './tally.ts'

/** What is known about one failed assertion, or about a file that ended badly; see tap's diagnostics. */
type Diagnostics = {
  at?: { fileName?: string; lineNumber?: number; columnNumber?: number }
  diff?: string
  stack?: string
  expired?: string
  exitCode?: number | null
  signal?: string | null
  [more: string]: unknown
}

/** A failure for people: names, place, difference. */
export function describe({ path, points, reason }: Failure): string {
  const lines = [
    ...(reason === undefined ? [] : [reason]),
    ...points.map(({ name, diag }) =>
      [...(name === path.at(-1) ? [] : [name]), ...describePoint(diag ?? {})].join('\n'),
    ),
  ]
  return `FAILED ${path.join(' > ')}\n${indented(lines.join('\n'))}`
}

function describePoint(diagnostics: Diagnostics): string[] {
  const { at, diff, stack, exitCode, signal, expired, ...more } = diagnostics
  if (signal === 'SIGALRM' || expired)
    return ['  It took too long and was stopped (see "timeout" in package.json).']
  if (signal) return [`  The file was ended by ${signal}; what it printed is above.`]
  if (typeof exitCode === 'number')
    return [`  The file ended with code ${exitCode}; what it printed is above.`]
  const { source: _, compare: __, tapCaught: ___, ...rest } = more
  return [
    ...(at?.fileName ? [`  at ${at.fileName}:${at.lineNumber}:${at.columnNumber}`] : []),
    ...(diff ? [indented(diff.trimEnd())] : []),
    ...(!diff && stack ? [indented(stack.trimEnd())] : []),
    ...(Object.keys(rest).length > 0 ? [indented(inspect(rest, { depth: 6 }))] : []),
  ]
}

function indented(text: string): string {
  return text.replace(/^/gm, '    ')
}
