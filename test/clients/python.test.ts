import { execFileSync } from 'node:child_process'
import { test } from 'tap'
import { startService, token } from '../support/service.ts'
import { python, skip } from './python.ts'

test('the Python client repeats, waits, reads and gives up as it says', { skip }, async (t) => {
  t.equal(await python(t, 'calls', {}), 'OK')
})

test('every verb of the Python client works with the service', { skip }, async (t) => {
  const { url } = await startService(t)
  t.equal(await python(t, 'verbs', { AGENT_URL: url, AGENT_TOKEN: await token('alice') }), 'done')
})

test('the Python client can be compiled by the oldest Python that it is for', { skip }, (t) => {
  const check =
    'import ast, pathlib; [ast.parse(p.read_text(), feature_version=(3, 9)) for p in pathlib.Path("clients/python/src").rglob("*.py")]'
  t.doesNotThrow(() => execFileSync('python3', ['-c', check]))
  t.end()
})
