import { performance } from 'node:perf_hooks'
import { setImmediate as tick } from 'node:timers/promises'
import { test } from 'tap'
import { patience } from '../../src/services/upkeep/patience.ts'

/** Keeps the event loop at work, with short breaks, until it is stopped. */
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

/** Pieces of work that are done before the clock has moved on by so many milliseconds. */
async function piecesWithin(giveWay: () => Promise<void>, milliseconds: number): Promise<number> {
  let pieces = 0
  for (const until = performance.now() + milliseconds; performance.now() < until; pieces++) {
    await giveWay()
    await tick()
  }
  return pieces
}

test('upkeep of a busy process goes on slowly, and that of an idle one at full speed', async (t) => {
  const giveWay = patience()
  t.ok((await piecesWithin(giveWay, 50)) > 50)
  const load = keepBusy()
  await piecesWithin(giveWay, 250)
  const pieces = await piecesWithin(giveWay, 1_000)
  load.isOn = false
  t.ok(pieces >= 2, 'it goes on')
  t.ok(pieces <= 11, 'it waits before each piece')
})
