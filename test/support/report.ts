import { inspect } from 'node:util'
import type { Failure } from './tally.ts'

/** Tap's diagnostics of one failed assertion, or of a file that ended badly. */
type Diagnostics = {
  at?: { fileName?: string; lineNumber?: number; columnNumber?: number }
  diff?: string
  stack?: string
  expired?: string
  exitCode?: number | null
  signal?: string | null
  [more: string]: unknown
}

/** Describes a failure for people: the names of the tests, the place in the source, the difference. */
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
    return ['  The file took too long and was stopped (see "timeout" in package.json).']
  if (signal) return [`  ${signal} ended the file. Its output is above.`]
  if (typeof exitCode === 'number') return [`  The file ended with code ${exitCode}. Its output is above.`]
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
