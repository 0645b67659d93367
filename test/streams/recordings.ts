import { readFileSync } from 'node:fs'
import type { IndexedChunk } from '../../src/agent/turn.ts'
import { isLast } from '../../src/streams/upstream.ts'
import type { Chunk } from '../../src/streams/vocabulary.ts'
import type { Service } from '../support/service.ts'
import { ask, textOf } from './sse.ts'

/** The turns of `recordings/`, and what they ask for; `abort` is cancelled once its answer stalls. */
export const TURNS = {
  'reasoning-and-tool': 'Please think: what is 17 * 23?',
  'failing-tool': 'What is 1 / 0?',
  error: '[[fail-after:5]] Tell me a story',
  abort: '[[stall-after:5]] Tell me a story',
}
export type Recording = keyof typeof TURNS
export const RECORDINGS = Object.keys(TURNS) as Recording[]

export const fileOf = (name: Recording) => new URL(`./recordings/${name}.json`, import.meta.url)

/** The stream of a run as the engine held it when `record.ts` was last run. */
export const recorded = (name: Recording): IndexedChunk[] => JSON.parse(readFileSync(fileOf(name), 'utf8'))

/** Runs the turn and reads what the engine holds of its stream. */
export async function record(service: Service, name: Recording): Promise<IndexedChunk[]> {
  const stream = await ask(service, TURNS[name])
  const runId = stream.headers.get('x-run-id') ?? ''
  if (name === 'abort') {
    await stream.until(() => textOf(stream.events).split(' ').length === 5)
    await service.call('POST', `/api/agent/chat/${runId}/cancel`)
  }
  await stream.closed
  const records: IndexedChunk[] = []
  for await (const record of service.app.engine.chunks(runId, new AbortController().signal)) {
    records.push(record)
    if (isLast(record.chunk.type)) break
  }
  return records
}

/** Ids, times, and counts that go with the length of the agent's instructions. */
const OF_ONE_RUN = /run_\w+|call_[\w-]+|[\da-f]{8}-[\da-f-]{27}|(?<="\w+(?:Tokens|Ms)":)\d+/g

/** What all runs of a turn have in common: chunks without the above, their deltas in one piece. */
export function gistOf(records: IndexedChunk[]): Chunk[] {
  const gist: Chunk[] = []
  const masked: IndexedChunk[] = JSON.parse(JSON.stringify(records).replace(OF_ONE_RUN, '0'))
  for (const { chunk } of masked) {
    const last = gist.at(-1)
    if (last?.type === chunk.type && chunk.type.endsWith('-delta')) last.delta = `${last.delta}${chunk.delta}`
    else gist.push(chunk)
  }
  return gist
}
