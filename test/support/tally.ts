import { Parser, type Result } from 'tap-parser'

/** A test that failed: the names from the file down to it, the assertions that broke, or what else happened. */
export type Failure = { path: string[]; points: Result[]; reason?: string }

export type Tally = { passed: number; failed: number; skipped: number; failures: Failure[] }

export type FileTally = Tally & { file: string; milliseconds: number }

type Test = { name: string; summary?: Result; tests: Test[]; points: Result[] }

/**
 * Reads the TAP of a whole run, in which every test file is a subtest, and counts tests: innermost subtests,
 * and assertions that stand beside subtests or alone in a file. A file that ends badly without a failed test
 * (it died, hung, or did not keep its plan) and a file without any test count as one failure.
 *
 * @param onFile called as soon as a file has ended
 */
export function tapReader(onFile: (file: FileTally) => void): Parser {
  const parser = new Parser()
  let current: Test | undefined
  const ended = () => {
    if (current)
      onFile({ file: current.name, milliseconds: current.summary?.time ?? 0, ...countFile(current) })
    current = undefined
  }
  parser.on('child', (child) => {
    ended()
    current = readTest(child)
  })
  parser.on('assert', (result) => {
    // After a timeout tap may put a test point "timeout!" beside the files or in the place of the summary.
    if (current === undefined || (result.name !== current.name && result.diag?.expired !== current.name))
      return
    current.summary = result
    ended()
  })
  parser.on('complete', ended)
  return parser
}

export function failure(path: string[], reason: string): Tally {
  return { passed: 0, failed: 1, skipped: 0, failures: [{ path, points: [], reason }] }
}

export function sum(tallies: Tally[]): Tally {
  return {
    passed: tallies.reduce((total, tally) => total + tally.passed, 0),
    failed: tallies.reduce((total, tally) => total + tally.failed, 0),
    skipped: tallies.reduce((total, tally) => total + tally.skipped, 0),
    failures: tallies.flatMap((tally) => tally.failures),
  }
}

/** Filled while the parser reads. The test point after a subtest is its summary, every other one an assertion. */
function readTest(parser: Parser): Test {
  const test: Test = { name: parser.name, tests: [], points: [] }
  let unsummed: Test | undefined
  parser.on('child', (child) => {
    unsummed = readTest(child)
    test.tests.push(unsummed)
  })
  parser.on('assert', (result) => {
    if (unsummed) unsummed.summary = result
    else test.points.push(result)
    unsummed = undefined
  })
  return test
}

function countFile(file: Test): Tally {
  const tally = countGroup(file, [])
  const tests = tally.passed + tally.failed + tally.skipped
  return tests > 0 ? tally : failure([file.name], 'The file ran no test.')
}

function countTest(test: Test, above: string[]): Tally {
  if (test.tests.length > 0) return countGroup(test, above)
  if (test.summary?.skip || test.summary?.todo) return { passed: 0, failed: 0, skipped: 1, failures: [] }
  if (test.summary?.ok) return { passed: 1, failed: 0, skipped: 0, failures: [] }
  return badEnd(test, above)
}

function countGroup(group: Test, above: string[]): Tally {
  const path = [...above, group.name]
  const tally = sum([
    ...group.points.map((point) =>
      countTest({ name: point.name, summary: point, tests: [], points: [] }, path),
    ),
    ...group.tests.map((test) => countTest(test, path)),
  ])
  if (group.summary?.ok || group.summary?.todo || tally.failed > 0) return tally
  return sum([tally, badEnd(group, above)])
}

function badEnd(test: Test, above: string[]): Tally {
  const broken = test.points.filter((point) => !point.ok && !point.todo && !point.skip)
  const points = broken.length > 0 || test.summary === undefined ? broken : [test.summary]
  const reason = test.summary === undefined ? { reason: 'It did not end.' } : {}
  return { passed: 0, failed: 1, skipped: 0, failures: [{ path: [...above, test.name], points, ...reason }] }
}
