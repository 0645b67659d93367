import { performance } from 'node:perf_hooks'
import { setImmediate as tick } from 'node:timers/promises'
import { test } from 'tap'
import { patience } from '../../src/services/upkeep/patience.ts'

/** Keeps the event loop busy, with short breaks, until the test stops it. */
function keepBusy() {
  const state = { isOn: true }
  const work = async () => {
    while (state.isOn) {
      for (const until = performance.now() + 20; performance.now() < until; );
      await tick()
    }
  }
  void work()
  return state
}

/** Counts the pieces of upkeep that are done within so many milliseconds. */
async function piecesWithin(giveWay: () => Promise<void>, milliseconds: number): Promise<number> {
  let pieces = 0
  for (const until = performance.now() + milliseconds; performance.now() < until; pieces++) {
    await giveWay()
    await tick()
  }
  return pieces
}

test('upkeep is slow in a busy process and fast in an idle process', async (t) => {
  const giveWay = patience()
  t.ok((await piecesWithin(giveWay, 50)) > 50)
  const load = keepBusy()
  await piecesWithin(giveWay, 250)
  const pieces = await piecesWithin(giveWay, 1_000)
  load.isOn = false
  t.ok(pieces >= 2, 'the upkeep of a busy process goes on')
  t.ok(pieces <= 11, 'the upkeep of a busy process waits before each piece')
})
