import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { globSync, statSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join, relative } from 'node:path'
import { finished } from 'node:stream/promises'
import { describe } from './report.ts'
import { type FileTally, failure, sum, type Tally, tapReader } from './tally.ts'
import { startTestDatabase } from './test-database.ts'

const { resolve } = createRequire(import.meta.url)
const tap = join(dirname(resolve('tap/package.json')), 'dist/esm/run.mjs')

/**
 * Runs test files (all of test/ when none are given) on a database of their own and prints what became of them;
 * the last line is "N passed, N failed". Stops what it started, also when it is interrupted.
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
    return await runTap(files, { ...process.env, ...database.environment }, signal)
  } finally {
    await database.stop()
  }
}

async function runTap(files: string[], env: NodeJS.ProcessEnv, signal: AbortSignal): Promise<Tally> {
  const tallies: FileTally[] = []
  const reader = tapReader((tally) => {
    tallies.push(tally)
    printFile(tally)
  })
  const child = spawn(process.execPath, [tap, 'run', '--reporter=tap', '--disable-coverage', ...files], {
    env,
    stdio: ['ignore', 'pipe', 'inherit'],
    // A process group of its own, so that all of it can be stopped.
    detached: true,
  })
  child.stdout.pipe(reader)
  const stop = () => {
    endGroup(child.pid, 'SIGTERM')
    setTimeout(() => endGroup(child.pid, 'SIGKILL'), 5_000).unref()
  }
  signal.addEventListener('abort', stop, { once: true })

  const read = finished(reader, { writable: true, readable: false })
  const [code] = await once(child, 'exit')
  endGroup(child.pid, 'SIGKILL') // What tests have left running; it may hold the pipe open, too.
  await read

  const missing = files.filter((file) => !tallies.some((tally) => tally.file === file))
  const tally = sum([...tallies, ...missing.map((file) => failure([file], 'The file did not run.'))])
  if (signal.aborted) return sum([tally, failure(['npm test'], String(signal.reason))])
  return code !== 0 && tally.failed === 0
    ? sum([tally, failure(['tap'], `It ended with code ${code}.`)])
    : tally
}

function testFiles(path: string): string[] {
  const folder = statSync(path, { throwIfNoEntry: false })?.isDirectory()
  return folder ? globSync(join(path, '**/*.test.ts')).sort() : [relative('', path)]
}

function endGroup(pid: number | undefined, signal: NodeJS.Signals): void {
  try {
    if (pid !== undefined) process.kill(-pid, signal)
  } catch {
    // ESRCH: nobody is left.
  }
}

function printFile({ file, passed, failed, skipped, milliseconds }: FileTally): void {
  const counts = `${passed} passed${failed ? `, ${failed} FAILED` : ''}${skipped ? `, ${skipped} skipped` : ''}`
  console.log(`${failed ? 'not ok' : 'ok    '} ${file}  ${counts}  ${(milliseconds / 1_000).toFixed(2)} s`)
}
