import { createHash } from 'node:crypto'

const WHO = [
  'A fox',
  'The old captain',
  'A small robot',
  'The baker',
  'A quiet girl',
  'The river',
  'A grey cat',
]
const DID = ['found', 'carried', 'remembered', 'painted', 'lost', 'followed', 'repaired']
const WHAT = [
  'a silver key',
  'the last lantern',
  'an unread letter',
  'a broken clock',
  'the oldest map',
  'a red kite',
]
const WHERE = [
  'by the sea',
  'under the bridge',
  'in the rain',
  'behind the mill',
  'at the market',
  'on the hill',
]
const LONGEST = 2000

/** A story of that many sentences (at most 2,000); the same seed tells the same story. */
export function tellStory(sentences: number, seed: string): string {
  const digest = createHash('sha256').update(seed).digest()
  const pick = (words: string[], n: number) =>
    words[((digest[n % digest.length] ?? 0) + n * 5) % words.length]
  return Array.from({ length: Math.min(Math.max(sentences, 1), LONGEST) }, (_, n) =>
    [pick(WHO, n), pick(DID, n + 1), pick(WHAT, n + 2), pick(WHERE, n + 3)].join(' ').concat('.'),
  ).join(' ')
}
