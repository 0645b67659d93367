import { execFile } from 'node:child_process'
import { cp, readFile, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { type Test, test } from 'tap'
import { generate as generatePython } from '../../clients/python/types.ts'
import { startProcess } from '../support/process.ts'
import { startService, token } from '../support/service.ts'
import { temporaryFolder } from '../support/temporary.ts'

const run = promisify(execFile)
const DOCUMENT = join(process.cwd(), 'openapi.yaml')
const STRICT = {
  compilerOptions: {
    strict: true,
    noEmit: true,
    target: 'es2022',
    module: 'nodenext',
    lib: ['es2022', 'dom', 'dom.iterable'],
    types: ['node'],
    allowImportingTsExtensions: true,
    // The generated code is judged, and not the packages that it imports.
    skipLibCheck: true,
  },
  include: ['.'],
}
/** What each generator is called with, beside the document. */
const HEY_API = {
  input: DOCUMENT,
  output: { path: './generated/hey-api', module: { extension: '.ts' } },
  logs: { file: false },
}
const ORVAL = {
  agent: {
    input: DOCUMENT,
    output: {
      target: './generated/orval.ts',
      client: 'fetch',
      baseUrl: { runtime: 'process.env.AGENT_URL' },
    },
  },
}

/** A folder with the programs of `generators`, and the code that each of them imports. */
async function generated(t: Test): Promise<string> {
  const folder = await temporaryFolder(t)
  const CLIENT_PACKAGE = join(process.cwd(), 'clients', 'typescript')
  await cp('test/clients/generators', folder, { recursive: true })
  await symlink(join(process.cwd(), 'node_modules'), join(folder, 'node_modules'))
  await writeFile(join(folder, 'package.json'), '{"type":"module"}')
  await writeFile(join(folder, 'tsconfig.json'), JSON.stringify(STRICT))
  await writeFile(join(folder, 'hey-api.config.mjs'), `export default ${JSON.stringify(HEY_API)}`)
  await writeFile(join(folder, 'orval.config.mjs'), `export default ${JSON.stringify(ORVAL)}`)
  const node = (...args: string[]) =>
    run(process.execPath, ['--import', './typescript-5.mjs', ...args], {
      cwd: folder,
      env: { ...process.env, CLIENT_PACKAGE },
    })
  const own = (path: string) => join(CLIENT_PACKAGE, 'node_modules', path)
  const shared = (path: string) => join(process.cwd(), 'node_modules', path)
  await Promise.all([
    node(own('openapi-typescript/bin/cli.js'), DOCUMENT, '--output', 'generated/openapi.ts'),
    node(shared('@hey-api/openapi-ts/dist/run.mjs'), '--file', 'hey-api.config.mjs'),
    node(own('orval/dist/bin/orval.mjs'), '--config', 'orval.config.mjs'),
  ])
  return folder
}

test('code of stock generators compiles under --strict, and starts, waits, lists and cancels', async (t) => {
  const [service, folder] = await Promise.all([startService(t), generated(t)])
  const compiled = await run(process.execPath, ['node_modules/typescript/bin/tsc', '--project', '.'], {
    cwd: folder,
  }).catch((error: { stdout: string }) => error)
  t.equal(compiled.stdout, '', 'no faults, and no text before a run has ended')
  t.equal(
    await readFile('clients/typescript/src/openapi.ts', 'utf8'),
    await readFile(join(folder, 'generated', 'openapi.ts'), 'utf8'),
    'the types of the TypeScript client are those of the document: npm run clients:types',
  )
  for (const name of ['openapi-typescript', 'hey-api', 'orval']) {
    const environment = { AGENT_URL: service.url, AGENT_TOKEN: await token(name) }
    const flow = startProcess(t, [process.execPath, join(folder, `${name}.ts`)], { environment })
    await flow.ended
    t.match(flow.output(), /^text .*391.*\nlisted true\nstatus cancelled$/, name)
  }
})

test('the types of the Python client are those of the document: npm run clients:types', async (t) => {
  const types = await readFile('clients/python/src/agent_chat_client/types.py', 'utf8')
  t.equal(types, await generatePython())
})
