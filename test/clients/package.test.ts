import { execFile } from 'node:child_process'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { build } from 'esbuild'
import { test } from 'tap'
import { startProcess } from '../support/process.ts'
import { startService, token } from '../support/service.ts'
import { temporaryFolder } from '../support/temporary.ts'

const run = promisify(execFile)
const STRICT = [
  '--strict',
  '--noEmit',
  '--target',
  'es2022',
  '--module',
  'nodenext',
  '--noPropertyAccessFromIndexSignature',
]

/** The programs of a README, by their language. */
const snippets = async (file: string, language: string) =>
  [...(await readFile(file, 'utf8')).matchAll(new RegExp(`^\`\`\`${language}\n(.*?)^\`\`\`$`, 'gms'))].map(
    ([, text = '']) => text,
  )

test('the package, as it would be published, has what a program in an empty folder needs', async (t) => {
  const folder = await temporaryFolder(t)
  const { stdout } = await run('npm', ['pack', '--json', '--pack-destination', folder], {
    cwd: 'clients/typescript',
  })
  const [packed] = JSON.parse(stdout.slice(stdout.indexOf('['))) as [
    { filename: string; files: { path: string }[] },
  ]
  for (const { path } of packed.files)
    t.match(path, /^(dist\/[\w-]+\.(js|d\.ts)|package\.json|README\.md|LICENSE)$/)
  const installed = join(folder, 'node_modules', 'agent-chat-client')
  await mkdir(installed, { recursive: true })
  await run('tar', ['xzf', join(folder, packed.filename), '-C', installed, '--strip-components=1'])

  const [first = ''] = await snippets('clients/typescript/README.md', 'ts')
  const program = first
    .replace(`'http://127.0.0.1:3000'`, `process.env.AGENT_URL ?? ''`)
    .concat('\nif (run.status === "completed") { const text: string = run.text; void text }')
  await writeFile(join(folder, 'package.json'), '{"type":"module"}')
  await writeFile(
    join(folder, 'first.ts'),
    `declare const process: { env: Record<'AGENT_URL' | 'AGENT_TOKEN', string | undefined> }\n${program}`,
  )
  const tsc = join(process.cwd(), 'node_modules', 'typescript', 'bin', 'tsc')
  const compiled = await run(process.execPath, [tsc, ...STRICT, '--types', '', 'first.ts'], {
    cwd: folder,
  }).catch((error: { stdout: string }) => error)
  t.equal(compiled.stdout, '', 'its types are whole, without those of Node')

  const { url } = await startService(t)
  const environment = { AGENT_URL: url, AGENT_TOKEN: await token('alice') }
  const { ended, output } = startProcess(t, [process.execPath, join(folder, 'first.ts')], { environment })
  await ended
  t.match(output(), /391/)
})

test('the client asks for nothing but what browsers and Workers have', async (t) => {
  const { metafile } = await build({
    entryPoints: ['clients/typescript/src/index.ts'],
    bundle: true,
    write: false,
    minify: true,
    metafile: true,
    platform: 'browser',
    format: 'esm',
    outdir: 'unused',
  })
  const [bundle] = Object.values(metafile.outputs)
  t.same(bundle?.imports, [])
  t.ok((bundle?.bytes ?? Number.POSITIVE_INFINITY) < 16_000, `${bundle?.bytes} bytes`)
})
