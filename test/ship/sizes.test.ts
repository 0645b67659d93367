import { globSync, readFileSync } from 'node:fs'
import { test } from 'tap'

const MAX_LINES = 250
const MAX_MEDIAN = 70
/** A register is read by searching, so its length costs nothing. */
const REGISTERS = ['src/errors.ts']

test('a file can be read in one sitting', (t) => {
  const sizes = globSync('{src,plugins,routes}/**/*.{ts,mjs}')
    .map((path) => ({ path, lines: readFileSync(path, 'utf8').split('\n').length - 1 }))
    .sort((a, b) => a.lines - b.lines)
  t.ok(sizes.length > 200, 'the files were found')
  const long = sizes.filter(({ path, lines }) => lines > MAX_LINES && !REGISTERS.includes(path))
  t.strictSame(
    long.map(({ path, lines }) => `${path}: ${lines} lines`),
    [],
  )
  t.ok((sizes[sizes.length >> 1]?.lines ?? 0) <= MAX_MEDIAN, 'the median')
  t.end()
})
