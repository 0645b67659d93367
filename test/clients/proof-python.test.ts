import { test } from 'tap'
import { proof, RUNS } from './proof.ts'
import { python, skip } from './python.ts'

if (skip) test('the proof of the Python client', { skip }, () => {})
else
  proof('Python', async (AGENT_URL, AGENT_TOKEN, t) =>
    JSON.parse(await python(t, 'proof', { AGENT_URL, AGENT_TOKEN, RUNS: String(RUNS) })),
  )
