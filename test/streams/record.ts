// node test/streams/record.ts: runs the turns of recordings.ts and keeps their streams, as they are, in recordings/.
import { writeFile } from 'node:fs/promises'
import { startEngine, startService, type Teardown } from '../support/service.ts'
import { startTestDatabase } from '../support/test-database.ts'
import { fileOf, RECORDINGS, record } from './recordings.ts'
import { ready } from './sse.ts'

const database = await startTestDatabase(undefined)
Object.assign(process.env, database.environment)
const ends: (() => unknown)[] = [database.stop]
const script: Teardown = { teardown: (end) => ends.unshift(end) }
try {
  const engine = await startEngine(script, { childEnv: { AGENT_OFFLINE_WORD_MS: '30' } })
  const service = await startService(script, { engine })
  await ready(service)
  for (const name of RECORDINGS) {
    const lines = (await record(service, name)).map((line) => JSON.stringify(line))
    await writeFile(fileOf(name), `[\n${lines.join(',\n')}\n]\n`)
  }
} finally {
  for (const end of ends) await end()
}
