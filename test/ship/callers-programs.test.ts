import { execFileSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import t, { type Test } from 'tap'
import { missing } from '../proxies/programs.ts'
import { startProcess } from '../support/process.ts'
import { startService, token } from '../support/service.ts'
import { temporaryFolder } from '../support/temporary.ts'
import { snippetsOf } from './guide.ts'

/** Programs that another test runs: test/ship/callers.test.ts. */
const ELSEWHERE = ['receiver.mjs', 'watch.mjs']
const CLIENT = resolve('clients/typescript/src/index.ts')
const RUNNERS: Record<string, string[]> = { ts: [process.execPath], py: ['python3'], sh: ['sh'] }

/** A folder with all programs of the guide, in which the client of this repository is installed. */
async function programs(t: Test): Promise<{ folder: string; names: string[] }> {
  const folder = await temporaryFolder(t)
  const installed = join(folder, 'node_modules/agent-chat-client')
  mkdirSync(installed, { recursive: true })
  const manifest = { name: 'agent-chat-client', type: 'module', exports: './index.js' }
  writeFileSync(join(installed, 'package.json'), JSON.stringify(manifest))
  // Node does not read TypeScript below node_modules, so the package leads to the source.
  writeFileSync(join(installed, 'index.js'), `export * from ${JSON.stringify(CLIENT)}\n`)
  writeFileSync(join(folder, 'package.json'), '{"type":"module"}')
  const snippets = snippetsOf('docs/callers.md', ['ts', 'js', 'py', 'sh'])
  for (const { name, code } of snippets) {
    if (name === undefined) throw new Error(`the guide has code without a name:\n${code}`)
    writeFileSync(join(folder, name), code)
  }
  return { folder, names: snippets.map(({ name = '' }) => name) }
}

/** What each program of the guide prints, in the order in which they run. */
const PRINTS: Record<string, RegExp> = {
  'ask.ts': /^17 \* 23 = 391\.$/,
  'ask.py': /^17 \* 23 = 391\.$/,
  'ask.sh': /^17 \* 23 = 391\.$/,
  'find.sh': /^\{"data":\[\{"runId":"run_\w+","status":"completed".*"metadata":\{"ticket":"T-1042"\}/,
  'talk.ts':
    /^Your name is Ada\.\nuser: My name is Ada\.\n.*\nuser: What is my name\?\nassistant: Your name is Ada\.$/,
  'stream.ts': /^\S.*\ncompleted, \d+ tokens$/,
  'stream.sh': /data: \{"type":"text-delta".*\ndata: \[DONE\]/s,
  'decide.ts': /^the agent asks for send_note \{.*\}\n.*The tool "send_note" returned/,
  'approve.sh': /^\{"actionId":"[\da-f-]{36}","runId":"run_\w+","status":"approved"/,
}

t.test('every program of the guide does what the guide says', async (t) => {
  const service = await startService(t)
  const environment = {
    AGENT_URL: service.url,
    AGENT_TOKEN: await token('alice'),
    PYTHONPATH: resolve('clients/python/src'),
    PYTHONDONTWRITEBYTECODE: '1',
  }
  const { folder, names } = await programs(t)
  t.same(names.filter((name) => !ELSEWHERE.includes(name)).toSorted(), Object.keys(PRINTS).toSorted())
  const waiting = await service.call('POST', '/api/agent/chat/sync', {
    body: { message: 'Send Eve a note: hello' },
  })
  t.match(waiting.body, { finishReason: 'action_required' })

  for (const [name, prints] of Object.entries(PRINTS)) {
    const [, language = ''] = name.split('.')
    const lacks = language === 'sh' ? missing('curl', 'jq') : language === 'py' && missing('python3')
    await t.test(name, { skip: lacks }, async (t) => {
      const program = startProcess(t, [...(RUNNERS[language] ?? []), join(folder, name)], { environment })
      const { code } = await program.ended
      t.match(program.output(), prints)
      t.equal(code, 0)
    })
  }
  const { body } = await service.call('GET', '/api/agent/chat?metadata[ticket]=T-1042')
  t.equal(body.data.length, 1, 'three programs with one key have asked the agent once')
  const { body: continued } = await service.call('GET', `/api/agent/chat/${waiting.body.runId}`)
  t.match(continued, { continuedBy: /^run_/ }, 'the approved turn goes on')
})

t.test('the TypeScript of the guide compiles under --strict', async (t) => {
  const { folder, names } = await programs(t)
  const options = {
    strict: true,
    noEmit: true,
    module: 'nodenext',
    target: 'es2023',
    lib: ['es2024', 'dom', 'dom.iterable'],
    skipLibCheck: true,
    allowImportingTsExtensions: true,
    types: ['node'],
    typeRoots: [resolve('node_modules/@types')],
    paths: { 'agent-chat-client': [CLIENT] },
  }
  const files = names.filter((name) => name.endsWith('.ts'))
  writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions: options, files }))
  t.doesNotThrow(() => {
    try {
      execFileSync(resolve('node_modules/.bin/tsc'), ['--project', folder], { encoding: 'utf8' })
    } catch (error) {
      throw new Error(String((error as { stdout: string }).stdout))
    }
  })
})
