// npm test [-- files…]: runs test files with tap on a database of their own. The last line is
// "N passed, N failed"; the exit code is 0 only when something passed and nothing failed.

if (Number.parseInt(process.versions.node, 10) < 24) {
  console.error(`The tests need Node 24 or newer, this is ${process.version}. Run them with: npm test`)
  process.exit(1)
}

const { runTests } = await import('./support/runner.ts')
const { passed, failed } = await runTests(process.argv.slice(2))
process.exitCode = failed === 0 && passed > 0 ? 0 : 1
