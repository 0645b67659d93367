import { Parser, type Result } from 'tap-parser'

/** A failed test: the names from its file down to the test, and the assertions that failed, or another reason. */
export type Failure = { path: string[]; points: Result[]; reason?: string }

export type Tally = { passed: number; failed: number; skipped: number; failures: Failure[] }

export type FileTally = Tally & { file: string; milliseconds: number }

type Test = { name: string; summary?: Result; tests: Test[]; points: Result[] }

/** How the process of a test file has ended. */
export type Ending = {
  exitCode: number | null
  exitSignal: NodeJS.Signals | null
  /** The file was stopped because it took too long. */
  isLate: boolean
  milliseconds: number
}

const LATE = 'The test took too long and was stopped (see "timeout" in package.json).'
const UNFINISHED = 'The test did not end.'

/**
 * Reads the TAP of one test file and counts its tests. A test is an innermost subtest, or an assertion that stands beside
 * subtests. A file that fails without a failed test (it crashed, hung, or did not keep its plan) counts as one failure. A
 * file without any test also counts as one failure.
 */
export function fileReader(file: string): { parser: Parser; tally(ending: Ending): FileTally } {
  const parser = new Parser()
  const root = readTest(parser)
  root.name = file
  return {
    parser,
    tally({ exitCode, exitSignal, isLate, milliseconds }) {
      const ok = exitCode === 0 && !isLate && (parser.count === 0 || parser.results?.ok === true)
      const broken = parser.results?.failures.find(({ tapError }) => tapError !== undefined)?.tapError
      const diag = isLate ? { expired: file } : exitSignal ? { signal: exitSignal } : { exitCode }
      root.summary = { name: file, ok, diag: { ...diag, ...(broken ? { tapError: broken } : {}) } } as Result
      return { file, milliseconds, ...countFile(root, isLate ? LATE : UNFINISHED) }
    },
  }
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

/** Filled while the parser reads. A test point after a subtest is its summary, and every other test point an assertion. */
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

function countFile(file: Test, unfinished: string): Tally {
  const tally = countGroup(file, [], unfinished)
  const tests = tally.passed + tally.failed + tally.skipped
  return tests > 0 ? tally : failure([file.name], 'The file ran no test.')
}

function countTest(test: Test, above: string[], unfinished: string): Tally {
  if (test.tests.length > 0) return countGroup(test, above, unfinished)
  if (test.summary?.skip || test.summary?.todo) return { passed: 0, failed: 0, skipped: 1, failures: [] }
  if (test.summary?.ok) return { passed: 1, failed: 0, skipped: 0, failures: [] }
  return badEnd(test, above, unfinished)
}

function countGroup(group: Test, above: string[], unfinished: string): Tally {
  const path = [...above, group.name]
  const tally = sum([
    ...group.points.map((point) =>
      countTest({ name: point.name, summary: point, tests: [], points: [] }, path, unfinished),
    ),
    ...group.tests.map((test) => countTest(test, path, unfinished)),
  ])
  if (group.summary?.ok || group.summary?.todo || tally.failed > 0) return tally
  return sum([tally, badEnd(group, above, unfinished)])
}

function badEnd(test: Test, above: string[], unfinished: string): Tally {
  const broken = test.points.filter((point) => !point.ok && !point.todo && !point.skip)
  const points = broken.length > 0 || test.summary === undefined ? broken : [test.summary]
  const reason = test.summary === undefined ? { reason: unfinished } : {}
  return { passed: 0, failed: 1, skipped: 0, failures: [{ path: [...above, test.name], points, ...reason }] }
}
