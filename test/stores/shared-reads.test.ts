import { setImmediate as tick } from 'node:timers/promises'
import { test } from 'tap'
import { sharedReads } from '../../src/stores/shared-reads.ts'

/** Statements that the test answers itself, in the order in which they were sent. */
function statements() {
  const sent: Array<{ keys: number[]; answer(): void; fail(error: Error): void }> = []
  const read = (keys: number[]) =>
    new Promise<Array<string | undefined>>((resolve, reject) => {
      const rows = keys.map((key) => (key < 0 ? undefined : `row ${key}`))
      sent.push({ keys, answer: () => resolve(rows), fail: reject })
    })
  return { sent, read: sharedReads(read) }
}

test('a read is sent at once while fewer than two statements are under way, and the others share the next one', async (t) => {
  const { sent, read } = statements()
  const reads = [1, 2, 3, -4, 5].map(read)
  t.same(
    sent.map(({ keys }) => keys),
    [[1], [2]],
  )
  sent[0]?.answer()
  t.equal(await reads[0], 'row 1')
  await tick()
  t.same(sent[2]?.keys, [3, -4, 5])
  for (const statement of sent) statement.answer()
  t.same(await Promise.all(reads), ['row 1', 'row 2', 'row 3', undefined, 'row 5'])
})

test('a statement that fails fails its own reads alone', async (t) => {
  const { sent, read } = statements()
  const [first, second, third] = [1, 2, 3].map(read)
  sent[0]?.fail(new Error('the server is away'))
  await t.rejects(first as Promise<unknown>, { message: 'the server is away' })
  await tick()
  for (const statement of sent.slice(1)) statement.answer()
  t.same(await Promise.all([second, third]), ['row 2', 'row 3'])
})

test('statements that get no answer hold up no other read', async (t) => {
  const { sent, read } = statements()
  const [, , third] = [1, 2, 3].map(read)
  while (sent.length < 3) await tick()
  sent[2]?.answer()
  t.equal(await third, 'row 3')
})

test('no statement reads more than 32 rows', async (t) => {
  const { sent, read } = statements()
  const reads = Array.from({ length: 72 }, (_, key) => read(key))
  sent[0]?.answer()
  await tick()
  t.same(
    sent.map(({ keys }) => keys.length),
    [1, 1, 32, 32, 6],
  )
  for (const statement of sent) statement.answer()
  t.equal(new Set(await Promise.all(reads)).size, 72)
})
