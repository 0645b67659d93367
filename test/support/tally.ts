import { Parser, type Result } from 'tap-parser'

/** A failed test: the names from the file down to it, and what tap says about it. */
export type Failure = { path: string[]; details: unknown }

export type Tally = { passed: number; failed: number; skipped: number; failures: Failure[] }

export type FileTally = Tally & { file: string; milliseconds: number }

type Test = { result?: Result; name: string; tests: Test[]; points: Result[] }

/**
 * Reads the TAP of a whole run, in which every test file is a subtest, and counts tests: innermost subtests,
 * and assertions that stand beside subtests or alone in a file. A file that ends badly without a failed test
 * (it died, hung, or its plan was not kept) and a file without any test count as one failure.
 *
 * @param onFile called as soon as a file has ended
 */
export function tapReader(onFile: (file: FileTally) => void): Parser {
  const parser = new Parser()
  follow(parser, (file) => {
    onFile({ file: file.name, milliseconds: file.result?.time ?? 0, ...countFile(file) })
  })
  return parser
}

function follow(
  parser: Parser,
  onTest: (test: Test) => void,
  onPoint: (point: Result) => void = () => {},
): void {
  let inner: Test | undefined
  const ended = (result?: Result) => {
    if (inner) onTest({ ...inner, ...(result && { result, name: result.name }) })
    inner = undefined
  }
  parser.on('child', (child) => {
    const test: Test = { name: child.name, tests: [], points: [] }
    inner = test
    follow(
      child,
      (nested) => test.tests.push(nested),
      (point) => test.points.push(point),
    )
  })
  // The test point after a subtest is its summary.
  parser.on('assert', (result) => (inner ? ended(result) : onPoint(result)))
  parser.on('complete', () => ended())
}

function countFile(file: Test): Tally {
  const tally = countGroup(file, [])
  if (tally.passed + tally.failed + tally.skipped > 0) return tally
  return failure([file.name], 'The file ran no test.')
}

function count(test: Test, above: string[]): Tally {
  if (test.tests.length > 0) return countGroup(test, above)
  const path = [...above, test.name]
  if (test.result?.skip || test.result?.todo) return { passed: 0, failed: 0, skipped: 1, failures: [] }
  if (test.result?.ok) return { passed: 1, failed: 0, skipped: 0, failures: [] }
  const broken = test.points.filter((point) => !point.ok && !point.todo && !point.skip)
  const details = broken.map((point) => ({ [point.name]: point.diag }))
  return failure(path, details.length > 0 ? details : (test.result?.diag ?? 'It did not end.'))
}

function countGroup(group: Test, above: string[]): Tally {
  const path = [...above, group.name]
  const parts = [
    ...group.points.map((point) => count({ name: point.name, result: point, tests: [], points: [] }, path)),
    ...group.tests.map((test) => count(test, path)),
  ]
  const tally = sum(parts)
  const endedWell = group.result?.ok || group.result?.todo
  if (endedWell || tally.failed > 0) return tally
  return sum([tally, failure(path, group.result?.diag ?? 'It did not end.')])
}

export function failure(path: string[], details: unknown): Tally {
  return { passed: 0, failed: 1, skipped: 0, failures: [{ path, details }] }
}

export function sum(tallies: Tally[]): Tally {
  return {
    passed: tallies.reduce((total, tally) => total + tally.passed, 0),
    failed: tallies.reduce((total, tally) => total + tally.failed, 0),
    skipped: tallies.reduce((total, tally) => total + tally.skipped, 0),
    failures: tallies.flatMap((tally) => tally.failures),
  }
}
