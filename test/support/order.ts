/** The files that take longest, the longest first. They begin first, so that no long file runs alone at the end. */
const LONGEST = [
  'test/server/embedded.test.ts',
  'test/local/engine/engine.test.ts',
  'test/local/engine/conformance.test.ts',
  'test/chaos/chaos.test.ts',
  'test/browser/swagger.test.ts',
  'test/routes/stream-cuts.test.ts',
  'test/routes/stream-redis.test.ts',
  'test/services/repair.test.ts',
  'test/routes/stream.test.ts',
  'test/plugins/metrics.test.ts',
  'test/routes/stream-resume.test.ts',
  'test/routes/stream-leaving.test.ts',
  'test/local/engine/http.test.ts',
  'test/routes/chat.test.ts',
  'test/routes/sync.test.ts',
  'test/local/engine/replay.test.ts',
  'test/routes/cancel.test.ts',
  'test/routes/outages.test.ts',
  'test/openapi-requests.test.ts',
  'test/browser/chat.test.ts',
]

/** The files in the order in which the runner begins them. */
export function inOrder(files: string[]): string[] {
  const rank = (file: string) => (LONGEST.includes(file) ? LONGEST.indexOf(file) : LONGEST.length)
  return files.toSorted((a, b) => rank(a) - rank(b))
}
