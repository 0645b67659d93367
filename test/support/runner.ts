import { existsSync, globSync, readFileSync, statSync } from 'node:fs'
import { join, relative } from 'node:path'
import { inOrder } from './order.ts'
import { describe } from './report.ts'
import { type FileTally, failure, sum, type Tally } from './tally.ts'
import { startTestDatabase } from './test-database.ts'
import { runFile } from './test-process.ts'

/** The settings in package.json: files at a time, and seconds after which a file is stopped. */
type Settings = { jobs?: number; timeout?: number }

/**
 * Runs test files (all of test/ when none are given) on a database of their own and prints the outcome of each. The last
 * line is "N passed, N failed". With TEST_AGAIN=1 files that failed run a second time, alone. An interruption stops all
 * test files and the database.
 */
export async function runTests(given: string[]): Promise<Tally> {
  const files = given.length > 0 ? given.flatMap(testFiles) : testFiles('test')
  const interruption = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.once(signal, () => interruption.abort(new Error(`Interrupted by ${signal}.`)))
  }
  const tally = await runOnDatabase(files, interruption.signal).catch((error) =>
    failure(['npm test'], String(error)),
  )

  for (const failed of tally.failures) console.log(`\n${describe(failed)}`)
  const skipped = tally.skipped > 0 ? `, ${tally.skipped} skipped` : ''
  console.log(`\n${tally.passed} passed, ${tally.failed} failed${skipped}`)
  return tally
}

async function runOnDatabase(files: string[], signal: AbortSignal): Promise<Tally> {
  if (files.length === 0) return failure(['npm test'], 'There is no test file.')
  const database = await startTestDatabase(
    process.env.TEST_DATABASE_URL || process.env.DATABASE_URL || undefined,
  )
  try {
    signal.throwIfAborted()
    return await runFiles(files, { ...process.env, ...database.environment }, signal)
  } finally {
    await database.stop()
  }
}

async function runFiles(files: string[], env: NodeJS.ProcessEnv, signal: AbortSignal): Promise<Tally> {
  const { jobs = 2, timeout = 60 } = settings()
  const atOnce = Number(process.env.TEST_JOBS) || jobs
  const ordered = inOrder(files)
  const absent = ordered.filter((file) => !existsSync(file))
  const waiting = ordered.filter((file) => existsSync(file))
  const tallies: FileTally[] = []
  const run = async (file: string) => {
    const tally = await runFile(file, { env, timeoutMs: timeout * 1_000, signal })
    printFile(tally)
    return tally
  }
  const work = async () => {
    for (let file = waiting.shift(); file !== undefined && !signal.aborted; file = waiting.shift())
      tallies.push(await run(file))
  }
  await Promise.all(Array.from({ length: atOnce }, work))
  if (process.env.TEST_AGAIN === '1' && !signal.aborted) await runFailedAgain(tallies, run)
  const others = absent.map((file) => failure([file], 'The file does not exist.'))
  if (signal.aborted) others.push(failure(['npm test'], String(signal.reason)))
  return sum([...tallies, ...others])
}

/**
 * Runs the files that failed once more, one at a time, and counts the second outcome. A test of deadlines may fail on a
 * machine that others keep busy. The first outcome is printed, so that a test that fails now and then is seen. More than
 * three failed files are not run again, because so many failures have another cause.
 */
async function runFailedAgain(
  tallies: FileTally[],
  run: (file: string) => Promise<FileTally>,
): Promise<void> {
  const failed = tallies.filter(({ failed }) => failed > 0)
  if (failed.length > 3) return
  for (const first of failed) {
    for (const failure of first.failures) console.log(`\n${describe(failure)}`)
    console.log(`\n${first.file} runs again, alone.`)
    tallies.splice(tallies.indexOf(first), 1, await run(first.file))
  }
}

function settings(): Settings {
  return (JSON.parse(readFileSync('package.json', 'utf8')) as { tap?: Settings }).tap ?? {}
}

function testFiles(path: string): string[] {
  const folder = statSync(path, { throwIfNoEntry: false })?.isDirectory()
  return folder ? globSync(join(path, '**/*.test.ts')).sort() : [relative('', path)]
}

function printFile({ file, passed, failed, skipped, milliseconds }: FileTally): void {
  const counts = `${passed} passed${failed ? `, ${failed} FAILED` : ''}${skipped ? `, ${skipped} skipped` : ''}`
  console.log(`${failed ? 'not ok' : 'ok    '} ${file}  ${counts}  ${(milliseconds / 1_000).toFixed(2)} s`)
}
