import { test } from 'tap'
import { startProcess } from '../support/process.ts'

const MIB = 1024 * 1024

test('no request and no body is kept once it is answered', async (t) => {
  const program = 'test/plugins/heap.ts'
  const running = startProcess(t, [
    process.execPath,
    '--expose-gc',
    '--max-old-space-size=1500',
    program,
    '500',
    '32',
    '32',
  ])
  const [, grown] = await running.line(/"grown":(-?\d+)/)
  t.ok(Number(grown) < 10 * MIB, `the heap has grown by ${Math.round(Number(grown) / MIB)} MiB`)
})
